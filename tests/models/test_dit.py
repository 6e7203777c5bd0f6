"""The diffusion transformer: its patches, its blocks against the paper's formulas, its limits."""

import math

import pytest
import torch
import torch.nn.functional as F
from scripts import refuse, succeed

from models.attention import attend
from models.dit import Block, DiT, from_patches, to_patches, usual_patch


def config_of(shape, **changes):
    size = {"hidden_size": 32, "hidden_layers": 2, "heads": 4, "patch_size": None}
    return {"shape": shape, "label_counts": [], **size, **changes}


def awake(model):
    """A network without the zero weights of an untrained one."""
    torch.manual_seed(1)
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.3)
    return model


def test_default_size_is_about_two_million_parameters():
    model = DiT((1, 28, 28), 128, 6, 4, 4)
    assert 1.7e6 < sum(weight.numel() for weight in model.parameters()) < 2.2e6


def test_a_patch_is_a_square_of_pixels_and_comes_back():
    x = torch.randn(2, 3, 8, 12)
    patches = to_patches(x, 4)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[1, 4], x[1, :, 4:, 4:8].flatten())  # the second of the second row
    assert torch.equal(from_patches(patches, 4, x.shape), x)


@pytest.mark.parametrize(
    ("sides", "patch"), [((28, 28), 4), ((32, 64), 4), ((30, 28), 2), ((17, 28), 1)]
)
def test_the_usual_patch_divides_both_sides(sides, patch):
    assert usual_patch(*sides) == patch


@pytest.mark.parametrize("shape", [[1, 28, 28], [3, 32, 32], [3, 30, 18], [1, 17, 16], [3, 64, 64]])
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 2])])
def test_every_shape(shape, labels):
    model = awake(DiT.from_config(config_of(shape, label_counts=[4, 4, 4])))
    x = torch.randn(2, *shape)
    assert model(x, torch.tensor([3, 7]), labels).shape == x.shape
    shared = model(x, torch.tensor([5]), labels)
    torch.testing.assert_close(shared, model(x, torch.tensor([5, 5]), labels))


def test_attention_is_that_of_pytorch():
    q, k, v = torch.randn(3, 2, 4, 9, 8)
    torch.testing.assert_close(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_a_block_is_the_figure_of_the_paper():
    """adaLN-Zero (figure 3), head by head and patch by patch."""
    block = awake(Block(12, 3)).double().requires_grad_(False)
    x, embedding = torch.randn(1, 5, 12).double(), torch.randn(1, 12).double()
    gamma = block.modulation(embedding)[0]
    beta1, gamma1, alpha1, beta2, gamma2, alpha2 = gamma.split(12)

    def normalised(h):
        spread = (h.var(dim=-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return (h - h.mean(dim=-1, keepdim=True)) / spread

    qkv = block.qkv(normalised(x[0]) * (1 + gamma1) + beta1)
    q, k, v = (part.view(5, 3, 4) for part in qkv.split(12, dim=1))
    taken = torch.empty(5, 3, 4).double()
    for head in range(3):
        for i in range(5):
            weights = torch.tensor([q[i, head] @ k[j, head] / 2 for j in range(5)]).exp()
            taken[i, head] = (weights / weights.sum()).double() @ v[:, head]
    h = x[0] + alpha1 * block.out(taken.flatten(1))
    expected = h + alpha2 * block.mlp(normalised(h) * (1 + gamma2) + beta2)
    torch.testing.assert_close(block(x, embedding)[0], expected, rtol=1e-6, atol=1e-6)


def test_new_blocks_change_nothing_and_a_new_network_answers_zero():
    block, x = Block(12, 3), torch.randn(2, 5, 12)
    assert torch.equal(block(x, torch.randn(2, 12)), x)
    model = DiT.from_config(config_of([1, 16, 16]))
    assert not model(torch.randn(2, 1, 16, 16), torch.tensor([3])).any()


def test_all_patches_see_each_other_and_examples_do_not():
    model = awake(DiT.from_config(config_of([1, 16, 16])))
    x = torch.randn(2, 1, 16, 16, requires_grad=True)
    model(x, torch.tensor([3]))[0, 0, 0, 0].backward()
    assert (x.grad[0] != 0).all()
    assert not x.grad[1].any()


def test_places_are_told_apart():
    """The same patch gives different outputs in different places."""
    model = awake(DiT.from_config(config_of([1, 16, 16])))
    answer = model(torch.ones(1, 1, 16, 16), torch.tensor([3]))
    patches = to_patches(answer, 4)[0]
    assert torch.cdist(patches, patches).triu(1).gt(0).sum() == math.comb(16, 2)


def test_time_labels_and_jumps_change_the_answer():
    config = config_of([1, 16, 16], label_counts=[4, 4], objective="shortcut")
    model, x = awake(DiT.from_config(config)), torch.randn(1, 1, 16, 16)
    asked = [
        model(x, torch.tensor([3])),
        model(x, torch.tensor([9])),
        model(x, torch.tensor([3]), torch.tensor([0])),
        model(x, torch.tensor([3]), torch.tensor([1])),
        model(x, torch.tensor([[3, 1]])),
    ]
    assert all(abs(a - b).max() > 1e-3 for i, a in enumerate(asked) for b in asked[:i])
    assert torch.equal(asked[0], model(x, torch.tensor([3]), torch.tensor([2])))  # no class
    torch.testing.assert_close(asked[0], model(x, torch.tensor([[3, 3]])))


def test_every_parameter_gets_a_gradient():
    model = awake(DiT.from_config(config_of([1, 16, 16], label_counts=[4, 4])))
    model(
        torch.randn(3, 1, 16, 16), torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2])
    ).sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_muon_trains_the_matrices_within_blocks():
    model = DiT.from_config(config_of([1, 16, 16]))
    named = {id(weight): name for name, weight in model.named_parameters()}
    found = {named[id(weight)].split(".", 2)[2] for weight in model.hidden_weights()}
    assert found == {"qkv.weight", "out.weight", "mlp.0.weight", "mlp.2.weight"}
    assert len(model.hidden_weights()) == 2 * 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--patch_size", "3"], "--patch_size 3 does not divide the sides of 28 x 28 pixels"),
        (["--heads", "5"], "--heads 5 does not divide --hidden_size 128"),
        (["--base_channels", "8"], "--base_channels is for --model unet only"),
    ],
)
def test_what_cannot_be_built_is_refused(options, said, tmp_path):
    command = ("train.py", "--dataset", "digits", "--model", "dit", "--subset", "100", *options)
    assert said in refuse(*command, cwd=tmp_path)


def test_points_have_no_patches(tmp_path):
    said = refuse("train.py", "--dataset", "dino", "--model", "dit", cwd=tmp_path)
    assert "--model dit is for images; points need --model mlp" in said


def test_it_trains_and_samples(tmp_path):
    small = ("--hidden_size", 16, "--hidden_layers", 1, "--heads", 2, "--class_conditional")
    data = ("--dataset", "digits", "--subset", 200, "--epochs", 1, "--batch_size", 50)
    succeed("train.py", *data, "--model", "dit", *small, cwd=tmp_path)
    out = succeed("sample.py", "--num_images", 4, "--steps", 2, "--guidance", 2, cwd=tmp_path)
    assert "transformer" in out
