"""Muon against singular value decompositions, and which optimizer updates which weights."""

import json

import pytest
import torch
from scripts import refuse, succeed
from torch import nn

from cli.train_options import parse_arguments
from models.embeddings import TimeEmbedding
from models.mlp import MLP
from models.unet import UNet
from training.optimizers import Muon, make_optimizers, orthogonal


def uneven(rows, columns):
    """A matrix whose singular values lie far apart."""
    tall, wide = (torch.logspace(0, -1, n, dtype=torch.float64) for n in (rows, columns))
    return tall[:, None] * torch.randn(rows, columns, dtype=torch.float64) * wide


def test_orthogonal_keeps_the_directions_and_evens_out_their_strength():
    torch.manual_seed(0)
    shapes = [(20, 50), (50, 20), (16, 16), (20, 80), (20, 50)]
    matrices = [uneven(*shape) for shape in shapes]
    for matrix, result in zip(matrices, orthogonal(matrices), strict=True):
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        assert float(s.max() / s.min()) > 8  # they were far from even
        found = u.mT @ result @ vt.mT
        strengths = found.diagonal()
        torch.testing.assert_close(found, torch.diag(strengths))
        assert strengths.min() > 0.6
        assert strengths.max() < 1.3


@pytest.mark.parametrize("faintest", [-1, -2, -3, -4])
def test_singular_values_become_what_the_docstring_says(faintest):
    torch.manual_seed(0)
    u, _, vt = torch.linalg.svd(torch.randn(64, 200, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, faintest, 64, dtype=torch.float64)
    (result,) = orthogonal([u * values @ vt])
    found, shares = (u.mT @ result @ vt.mT).diagonal(), values / values.norm()
    strong = shares >= 0.0015
    assert ((found[strong] >= 0.68) & (found[strong] <= 1.21)).all()
    factors = found[~strong] / shares[~strong]
    assert ((factors >= 450) & (factors <= 485)).all()


@pytest.mark.parametrize("shape", [(128, 1152), (64, 64)])
def test_float32_is_exact_enough(shape):
    """Singular values over four decades: the Gram matrix squares them, to below its rounding."""
    torch.manual_seed(0)
    u, _, vt = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    matrix = u * torch.logspace(0, -4, shape[0], dtype=torch.float64) @ vt
    (exact,), (found,) = orthogonal([matrix]), orthogonal([matrix.float()])
    assert (found - exact).norm() < 1e-2 * exact.norm()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e30])
def test_the_size_of_a_gradient_does_not_matter(scale):
    torch.manual_seed(0)
    matrix = torch.randn(8, 30)
    torch.testing.assert_close(orthogonal([scale * matrix]), orthogonal([matrix]))
    assert not orthogonal([torch.zeros(4, 4)])[0].any()


def test_a_step_of_a_convolution_has_the_size_of_adamws():
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 64, 3, bias=False).to(memory_format=torch.channels_last)
    before = layer.weight.detach().clone()
    layer(torch.randn(16, 32, 9, 9)).square().mean().backward()
    gradient = layer.weight.grad.clone()
    Muon([layer.weight], lr=0.01).step()
    step = layer.weight.detach() - before
    # With 0.2 of the learning rate as root mean square, Liu et al. 2025; downhill.
    assert step.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)
    assert (step * gradient).sum() < 0
    # Without other gradients before, the Nesterov average is a multiple of this one.
    expected = orthogonal([gradient.flatten(1)])[0] * -0.01 * 0.2 * 288**0.5
    torch.testing.assert_close(step.flatten(1), expected, rtol=1e-3, atol=1e-6)


def test_momentum_is_nesterovs():
    """Against the recursion written out, for matrices whose steps tell the average's direction."""
    torch.manual_seed(1)
    weight = torch.zeros(6, 10, requires_grad=True)
    optimizer, average = Muon([weight], lr=0.1, momentum=0.8), torch.zeros(6, 10)
    for _ in range(4):
        before = weight.detach().clone()
        weight.grad = torch.randn(6, 10)
        average = 0.8 * average + 0.2 * weight.grad
        ahead = 0.8 * average + 0.2 * weight.grad
        optimizer.step()
        expected = orthogonal([ahead])[0] * -0.1 * 0.2 * 10**0.5
        torch.testing.assert_close(weight.detach() - before, expected, rtol=1e-3, atol=1e-5)


def test_it_finds_the_least_squares_solution():
    torch.manual_seed(2)
    x, y = torch.randn(200, 12), torch.randn(200, 8)
    x[:, 0] *= 10  # badly conditioned
    best = torch.linalg.lstsq(x, y).solution
    weight = torch.zeros(12, 8, requires_grad=True)
    optimizer = Muon([weight], lr=0.1)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        optimizer.zero_grad()
        (x @ weight - y).square().mean().backward()
        optimizer.step()
    assert (weight - best).abs().max() < 2e-3


def networks():
    time = TimeEmbedding("sinusoidal", 16, torch.linspace(3, -3, 10))
    yield UNet(base_channels=16, classes=3)
    yield MLP((2,), [32, 32], time)


@pytest.mark.parametrize("model", list(networks()), ids=("unet", "mlp"))
def test_each_weight_has_one_optimizer(model):
    device = torch.device("cpu")
    (adamw,) = make_optimizers("adamw", model, 0.01, device)
    muon, rest = make_optimizers("muon", model, 0.01, device)
    every = {id(weight) for weight in model.parameters()}
    assert {id(weight) for weight in adamw.param_groups[0]["params"]} == every
    first, second = ([id(w) for w in part.param_groups[0]["params"]] for part in (muon, rest))
    assert sorted(first + second) == sorted(every)
    assert all(weight.dim() in (2, 4) for weight in muon.param_groups[0]["params"])
    ends = {id(model.stem.weight), id(model.head.weight)}
    assert ends <= set(second)


def test_the_optimizer_can_be_chosen(tmp_path):
    train = "--dataset moons --num_points 200 --batch_size 100 --epochs 2 --hidden_size 8".split()
    losses = {}
    for name in ("adamw", "muon", None):
        options = () if name is None else ("--optimizer", name)
        succeed("train.py", *train, *options, "--output_dir", f"{name}", cwd=tmp_path)
        config = json.loads((tmp_path / f"{name}" / "config.json").read_text())
        assert config["optimizer"] == (name or "adamw")  # of points
        losses[name] = (tmp_path / f"{name}" / "history.csv").read_text().split(",")[-4]
    assert losses["adamw"] == losses[None] != losses["muon"]
    for model, default in (("unet", "muon"), ("mlp", "adamw")):
        assert parse_arguments(["--dataset", "digits", "--model", model]).optimizer == default
    assert "unknown optimizer 'sgd'" in refuse("train.py", "--optimizer", "sgd", cwd=tmp_path)
