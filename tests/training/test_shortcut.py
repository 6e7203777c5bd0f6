"""Shortcuts: the objective against the exact jumps of a Gaussian, the network, and a run."""

import json
import math

import pytest
import torch
from scripts import refuse, succeed
from test_resume import assert_same_end

import models
from diffusion import CLEAN, Diffusion, make_schedule
from guidance import Conditioned
from models import build_model
from models.mlp import MLP
from samplers import SHORTEST, final, shortcut, trailing_timesteps
from system.errors import InputError
from train import parse_arguments
from training.objectives.denoising import denoising
from training.objectives.shortcut import AT_THE_LAST, SHARE, Jumps, two_jumps
from training.objectives.shortcut import shortcut as objective

NAMES = ["cosine", "linear", "log_linear", "flow"]
MEAN, VARIANCE = 0.7, 0.5


def process(name="cosine", timesteps=1000, prediction="x0"):
    return Diffusion(make_schedule(name, timesteps), prediction)


def exact_jumps(diffusion):
    """The network of the exact jumps of data from N(MEAN, VARIANCE).

    y - m, with y = x / alpha, moves in proportion to sqrt(v + l^2), l = sigma / alpha. With s = t
    it is the best estimate of x_0. In x and t alone, as `run_model` calls it, for pairs (B, 2).
    """
    alphas = torch.cat([diffusion.schedule.alphas, torch.ones(1)])
    sigmas = torch.cat([diffusion.schedule.sigmas, torch.zeros(1)])

    def model(x, times):
        t, s = times.unbind(1) if times.dim() == 2 else (times, times)
        a_t, s_t, a_s, s_s = (table[k].view(-1, 1) for k in (t, s) for table in (alphas, sigmas))
        x = x.double() * (a_t**2 + s_t**2).sqrt()  # what run_model divided by
        spread_t, spread_s = ((VARIANCE * a**2 + b**2).sqrt() for a, b in ((a_t, s_t), (a_s, s_s)))
        there = a_s * MEAN + spread_s / spread_t * (x - a_t * MEAN)  # x_s
        # x_s = a_s x0 + s_s (x - a_t x0) / s_t
        jumped = (there - s_s / s_t * x) / (a_s - s_s * a_t / s_t)
        best = MEAN + VARIANCE * a_t / spread_t**2 * (x - a_t * MEAN)
        x0 = torch.where((t == s).view(-1, 1), best, jumped)
        if diffusion.prediction == "v":
            a, b = (table[t].view(-1, 1).double() for table in diffusion.schedule.velocity)
            return (a * (x - a_t * x0) / s_t - b * x0).float()
        return x0.float()

    return model


def pairs(timesteps, length):
    t = torch.arange(timesteps)
    return t, (t - length).clamp(min=CLEAN)


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("name", NAMES)
def test_two_exact_jumps_are_the_exact_jump_over_both(name, prediction):
    diffusion = process(name, prediction=prediction)
    model = exact_jumps(diffusion)
    torch.manual_seed(0)
    for length in (1000, 500, 31, 16):
        t, s = pairs(1000, length)
        x = diffusion.add_noise(
            MEAN + math.sqrt(VARIANCE) * torch.randn(1000, 3), t, torch.randn(1000, 3)
        )
        expected = diffusion.estimate_x0(model, x, t, s)
        found = two_jumps(diffusion, model, x, t, s)
        # Half of a short jump is the ordinary estimate: an Euler step, nearly the same.
        learned = t - (t + s + 1) // 2 >= 1000 * SHORTEST
        assert torch.allclose(found[learned], expected[learned], atol=2e-3), length
        assert learned.float().mean() > 0.9 or length == 16


def test_a_jump_of_one_timestep_is_the_ordinary_estimate():
    diffusion = process()
    t, s = pairs(1000, 1)
    x = torch.randn(1000, 2)

    def model(x, times):
        return 0.2 * x + 0.001 * times.sum(dim=1, keepdim=True)

    expected = diffusion.estimate_x0(model, x, t, t)
    assert torch.allclose(two_jumps(diffusion, model, x, t, s), expected, atol=1e-6)


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("name", NAMES)
def test_one_example_in_four_jumps_and_the_others_are_those_of_denoising(name, prediction):
    diffusion = process(name, prediction=prediction)
    weight = torch.tensor(0.3, requires_grad=True)

    def model(x, times):
        t, s = times.unbind(1) if times.dim() == 2 else (times, times)
        return weight * x + 0.001 * s.view(-1, 1) - 0.0005 * t.view(-1, 1)

    torch.manual_seed(0)
    count = 2 * SHARE + 1
    times = Jumps(diffusion).draw_timesteps(count)
    t, s = times.unbind(1)
    x0, eps = torch.randn(count, 5), torch.randn(count, 5)
    rest = torch.arange(count) % SHARE != 0
    assert rest.sum() == count - 3
    total = denoising(diffusion, model, x0[rest], t[rest], eps[rest]).mean() * (count - 3)
    for i in (~rest).nonzero().flatten().tolist():
        one = slice(i, i + 1)
        x = diffusion.add_noise(x0[one], t[one], eps[one])
        with torch.no_grad():
            estimate = two_jumps(diffusion, model, x, t[one], s[one])
        alpha, sigma = diffusion.schedule.at(t[i].item())
        target = diffusion.target(estimate, t[one], (x - alpha * estimate) / sigma)
        error = diffusion.run_model(model, x, t[one], s[one]) - target
        total = total + diffusion.weights[t[i]] * error.square().mean()
    loss = objective(diffusion, model, x0, times, eps).mean()
    assert loss.item() == pytest.approx(total.item() / count, rel=1e-4)
    found, expected = (torch.autograd.grad(one, weight)[0].item() for one in (loss, total))
    assert found == pytest.approx(expected / count, rel=1e-3)


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_the_exact_jumps_have_no_loss_beyond_that_of_denoising(prediction):
    diffusion = process(prediction=prediction)
    model = exact_jumps(diffusion)
    torch.manual_seed(0)
    count = 4000
    times = Jumps(diffusion).draw_timesteps(count)
    x0, eps = MEAN + math.sqrt(VARIANCE) * torch.randn(count, 1), torch.randn(count, 1)
    rest = torch.arange(count) % SHARE != 0
    loss = objective(diffusion, model, x0, times, eps).mean()
    of_rest = denoising(diffusion, model, x0[rest], times[rest, 0], eps[rest]).mean()
    assert loss.item() == pytest.approx((1 - 1 / SHARE) * of_rest.item(), rel=1e-3)

    def worse(x, times):  # off by 0.1, in jumps only
        jumps = times[:, 0] != times[:, 1]
        return model(x, times) + 0.1 * jumps.view(-1, 1)

    # Long jumps end in two halves, which are off as well and so pass on what they are off by.
    assert objective(diffusion, worse, x0, times, eps).mean() > loss + 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_exact_jumps_sample_a_gaussian_in_any_number_of_steps(name, steps):
    diffusion = process(name)
    torch.manual_seed(0)
    noise = torch.randn(200_000, 1)
    noise = (noise - noise.mean()) / noise.std()
    timesteps = trailing_timesteps(1000, steps)
    x = diffusion.starting_noise(noise)
    denoise = diffusion.denoiser(exact_jumps(diffusion))
    samples = final(shortcut(denoise, x, diffusion.schedule, timesteps))
    # What the process begins with is a little narrower or wider than x_T is.
    alpha, sigma = diffusion.schedule.at(999)
    ratio = math.sqrt((alpha**2 + sigma**2) / (VARIANCE * alpha**2 + sigma**2))
    assert samples.std().item() == pytest.approx(math.sqrt(VARIANCE) * ratio, rel=1e-3)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.08 if name == "log_linear" else 0.02)


def test_the_sampler_goes_where_it_told_the_network():
    schedule = make_schedule("cosine", 100)
    asked = []

    def denoise(x, t, s):
        asked.append((t, s))
        return 0 * x + 0.5, 0 * x + 2.0

    states = list(shortcut(denoise, torch.zeros(1, 2), schedule, [99, 49]))
    assert asked == [(99, 49), (49, CLEAN)]
    alpha, sigma = schedule.at(49)
    assert states[0].tolist() == [pytest.approx([0.5 * alpha + 2 * sigma] * 2)]
    assert states[1].tolist() == [[0.5, 0.5]]


def test_jumps_are_of_all_lengths_the_logarithms_alike_and_many_begin_and_end_at_the_ends():
    jumps = Jumps(process())
    t, s = jumps.draw_timesteps(200_000, torch.Generator().manual_seed(0)).unbind(1)
    assert bool((s < t).all())
    assert (t == 999).double().mean().item() == pytest.approx(AT_THE_LAST + 0.001, rel=0.05)
    assert t[t < 999].double().mean().item() == pytest.approx(499, abs=3)
    lengths = (t - s)[(t == 999)]
    # From the last timestep one in eight goes all the way, and as many each half as far or less.
    shares = [(lengths <= 1000 / 2**k).double().mean().item() for k in range(8)]
    expected = [1, *((7 - k) / 8 for k in range(1, 8))]
    assert shares == pytest.approx(expected, abs=0.015)
    assert lengths.min().item() == 8


def test_the_sampler_takes_ordinary_steps_where_they_are_shorter_than_any_jump():
    schedule = make_schedule("cosine", 1000)
    asked = []

    def denoise(x, t, s):
        asked.append((t, s))
        return x, 0 * x

    list(shortcut(denoise, torch.zeros(1, 2), schedule, [999, 20, 13, 6]))
    assert asked == [(999, 20), (20, 20), (13, 13), (6, 6)]


def test_few_timesteps_are_enough():
    for timesteps in (1, 2, 3):
        diffusion = process(timesteps=timesteps)
        times = Jumps(diffusion).draw_timesteps(64)
        x0 = torch.randn(64, 2)
        loss = objective(diffusion, exact_jumps(diffusion), x0, times, torch.randn(64, 2)).mean()
        assert bool(loss.isfinite())


# ------------------------------------------------------------------------------- the networks

OF_IMAGES = {"model": "unet", "base_channels": 8, "dropout": 0, "no_attention": False}
OF_POINTS = {
    "model": "mlp",
    "hidden_dims": [16, 16],
    "time_embedding": "sinusoidal",
    "coordinates": "raw",
    "embedding_size": 8,
    "schedule": "cosine",
    "timesteps": 1000,
}


@pytest.mark.parametrize(
    ("config", "shape"), [(OF_IMAGES, [1, 16, 16]), (OF_POINTS, [2])], ids=["unet", "mlp"]
)
def test_a_jump_of_no_length_changes_nothing_and_one_of_some_length_does(config, shape):
    torch.manual_seed(0)
    config = config | {"shape": shape, "label_counts": [], "objective": "shortcut"}
    model = build_model(config)
    for weight in model.parameters():  # many begin as zeros
        torch.nn.init.normal_(weight, std=0.1)
    x, t = torch.randn(3, *shape), torch.tensor([5, 500, 999])
    with torch.no_grad():
        plain = model(x, t)
        assert torch.allclose(model(x, torch.stack([t, t], 1)), plain)
        jumped = model(x, torch.stack([t, torch.tensor([4, 0, CLEAN])], 1))
        assert (jumped - plain).flatten(1).norm(dim=1).min() > 1e-4
        # One pair for all, as samplers have it.
        shared = model(x, torch.tensor([[500, 0]]))
        assert torch.allclose(shared[1], jumped[1], atol=1e-5)
    ordinary = build_model(config | {"objective": "denoising"})
    more = set(model.state_dict()) - set(ordinary.state_dict())
    assert {name.split(".")[0] for name in more} == {"jump_embedding"}
    with pytest.raises(ValueError, match="not trained for jumps"):
        ordinary(x, torch.stack([t, t - 1], 1))


def test_a_network_that_is_not_told_where_to_jump_is_refused(monkeypatch):
    class Plain(MLP):
        @classmethod
        def from_config(cls, config):
            model = super().from_config(config | {"objective": "denoising"})
            del model.jump_embedding
            return model

    monkeypatch.setitem(models.MODELS, "mlp", Plain)
    config = OF_POINTS | {"shape": [2], "label_counts": []}
    build_model(config | {"objective": "denoising"})
    with pytest.raises(ValueError, match="not told where to jump"):
        build_model(config | {"objective": "shortcut"})


# ------------------------------------------------------------------------------- a run

IMAGES = "--dataset digits --subset 400 --base_channels 8 --batch_size 40 --num_samples 4"
EXACT = "--precision fp32 --compile off --class_conditional --save_interval 1"
POINTS = "--dataset moons --num_points 2000 --hidden_size 16 --batch_size 100 --save_interval 1"


@pytest.mark.parametrize("options", [f"{IMAGES} {EXACT}", POINTS], ids=["images", "points"])
def test_a_run_goes_on_to_the_same_end_and_is_sampled_in_two_steps(options, tmp_path):
    whole, parts = tmp_path / "whole" / "outputs", tmp_path / "parts" / "outputs"
    command = (*options.split(), "--objective", "shortcut", "--epochs", 3, "--sample_interval", 3)
    succeed("train.py", *command, "--output_dir", whole, cwd=tmp_path)
    middle = whole / "checkpoints" / "model_epoch_001.pt"
    succeed("train.py", "--resume", middle, "--output_dir", parts, cwd=tmp_path)
    assert_same_end(whole.parent, parts.parent)
    names = {path.name for path in (parts / "samples").iterdir()}
    assert names == {"epoch_003.png", "epoch_003_one_step.png"}
    assert json.loads((parts / "config.json").read_text())["objective"] == "shortcut"
    checkpoint = ("--checkpoint", whole / "model_final.pt")
    out = succeed("sample.py", *checkpoint, cwd=tmp_path)
    assert "so it is sampled with --sampler shortcut" in out
    assert "shortcut, 2 steps" in out
    # It has learned to denoise as well.
    out = succeed("sample.py", *checkpoint, "--sampler", "ddim", "--steps", 3, cwd=tmp_path)
    assert "ddim, 3 steps" in out
    line = refuse("train.py", "--consistency", whole / "model_final.pt", cwd=tmp_path)
    assert "in few steps already" in line


def test_what_it_cannot_do_is_said(tmp_path):
    with pytest.raises(InputError, match="not possible with --prediction eps"):
        parse_arguments(["--objective", "shortcut", "--prediction", "eps"])
    with pytest.raises(InputError, match="--guidance belongs to --consistency"):
        parse_arguments(["--objective", "shortcut", "--guidance", "2", "--class_conditional"])
    command = (*POINTS.split(), "--epochs", 1)
    succeed("train.py", *command, "--output_dir", "plain", cwd=tmp_path)
    line = refuse(
        "sample.py", "--checkpoint", "plain/model_final.pt", "--sampler", "shortcut", cwd=tmp_path
    )
    assert "--sampler shortcut needs a model trained with --objective shortcut" in line


def test_the_network_is_told_the_class_of_each_example_that_jumps():
    diffusion = process()
    seen = []

    def network(x, times, labels):
        seen.append((len(x), labels.tolist()))
        return 0 * x

    labels = torch.arange(9)
    x0 = torch.randn(9, 2)
    times = Jumps(diffusion).draw_timesteps(9)
    objective(diffusion, Conditioned(network, labels), x0, times, torch.randn(9, 2))
    jumping = (3, [0, 4, 8])
    assert seen == [jumping, jumping, (9, list(range(9)))]
