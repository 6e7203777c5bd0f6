"""The U-Net: two levels as in all releases, a third level for larger images, and colour."""

import pytest
import torch
from torch import nn

from models import build_model, load_model
from models.unet import UNet, fold, pad, unfold

CONFIG = {"model": "unet", "base_channels": 16, "label_counts": [5, 5]}
CONFIG |= {"dropout": 0.0, "no_attention": False}
THIRD_LEVEL = {"downsample2", "down3", "up3", "upsample2"}
SIDES = (16, 20, 28, 30, 32, 40, 48, 50, 64)
OBLONG = ((16, 64), (50, 20), (32, 33), (16, 17), (31, 32))


def build(*shape, **changes):
    """A network with random weights instead of initial zeros, so that all branches are active."""
    torch.manual_seed(0)
    model = build_model({**CONFIG, "shape": list(shape), **changes})
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


def answer(model, x):
    t, labels = torch.arange(len(x)) * 300, torch.arange(len(x)) % 3
    return model(x, t, labels)


# --------------------------------------------------------- 28x28x1, as earlier releases have it


def block(name, width):
    yield f"{name}.norm1", nn.GroupNorm(width // 16, width)
    yield f"{name}.conv1", nn.Conv2d(width, width, 3, padding=1)
    yield f"{name}.scale_shift", nn.Linear(256, 2 * width)
    yield f"{name}.norm2", nn.GroupNorm(width // 16, width)
    yield f"{name}.conv2", nn.Conv2d(width, width, 1)


def layers_of_old(width):
    """The layers of the network for 28x28x1, in the order in which their weights are drawn."""
    yield "time_mlp.0", nn.Linear(256, 1024)
    yield "time_mlp.2", nn.Linear(1024, 256)
    yield "stem", nn.Conv2d(4, width, 3, padding=1)
    yield from block("down1", width)
    yield "downsample", nn.Conv2d(4 * width, 2 * width, 1)
    yield from block("down2", 2 * width)
    yield from block("middle1", 2 * width)
    yield "attention.norm", nn.GroupNorm(2 * width // 16, 2 * width)
    yield "attention.qkv", nn.Conv2d(2 * width, 6 * width, 1)
    yield "attention.out", nn.Conv2d(2 * width, 2 * width, 1)
    yield from block("middle2", 2 * width)
    yield from block("up2", 2 * width)
    yield "upsample", nn.Conv2d(2 * width, 4 * width, 1)
    yield from block("up1", width)
    yield "norm", nn.GroupNorm(width // 16, width)
    yield "head", nn.Conv2d(width, 4, 3, padding=1)


@pytest.mark.parametrize("width", [16, 64])
def test_two_levels_have_the_weights_that_they_have_always_had(width):
    """Names, order and random numbers, bit for bit: a seed gives the run of old releases."""
    torch.manual_seed(0)
    expected = {}
    for name, layer in layers_of_old(width):
        for part, weight in layer.state_dict().items():
            at_zero = name.endswith(("conv2", "attention.out", "head"))
            expected[f"{name}.{part}"] = torch.zeros_like(weight) if at_zero else weight
    torch.manual_seed(0)
    changes = {"base_channels": width, "label_counts": [], "shape": [1, 28, 28]}
    found = build_model({**CONFIG, **changes}).state_dict()
    assert list(found) == list(expected)
    for name, weight in found.items():
        assert torch.equal(weight, expected[name]), name


def test_two_levels_give_the_answers_that_they_have_always_given():
    """The numbers are those of the release before the third level."""
    torch.manual_seed(0)
    model = UNet(classes=10)
    weights = [weight.double() for weight in model.state_dict().values()]
    assert sum(weight.numel() for weight in weights) == 1_735_492
    assert sum(w.abs().sum().item() for w in weights) == pytest.approx(39415.122226, rel=1e-6)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    x = torch.linspace(-1, 1, 2 * 28 * 28).view(2, 1, 28, 28)
    y = model(x, torch.tensor([10, 700]), torch.tensor([3, 10]))
    found = [y.mean().item(), y.std().item(), y[0, 0, 14, 13].item(), y[1, 0, 3, 24].item()]
    assert found == pytest.approx([-0.3824825, 1.2677939, -2.1534200, 0.6665294], rel=1e-4)


# ------------------------------------------------------------------------------------ all sides


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", [*((side, side) for side in SIDES), *OBLONG], ids=str)
def test_any_side_from_16_to_64(sides, channels):
    """The longer side decides on the levels; each level has its layers, and no layer is idle."""
    model = build(channels, *sides)
    names = {name for name, _ in model.named_children()}
    assert names & THIRD_LEVEL == (THIRD_LEVEL if max(sides) > 32 else set())
    x = torch.randn(3, channels, *sides)
    y = answer(model, x)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    # Of every column and every row, also those at the border that was padded.
    assert (y.std(dim=-1) > 0).all()
    assert (y.std(dim=-2) > 0).all()
    y.square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 50, 50), (3, 64, 64)])
def test_a_new_network_answers_zero(shape):
    model = build_model({**CONFIG, "shape": list(shape)})
    assert not answer(model, torch.randn(2, *shape)).any()


@pytest.mark.parametrize(("side", "lowest"), [(16, 4), (28, 7), (32, 8), (40, 5), (50, 7), (64, 8)])
def test_attention_is_at_the_lowest_resolution_of_at_most_8x8(side, lowest):
    model, seen = build(3, side, side), []
    model.attention.register_forward_hook(lambda _, inputs, output: seen.append(output.shape))
    answer(model, torch.randn(1, 3, side, side))
    assert [tuple(shape[-2:]) for shape in seen] == [(lowest, lowest)]
    plain = build(3, side, side, no_attention=True)
    lost = {name for name, _ in model.named_parameters()}
    lost -= {name for name, _ in plain.named_parameters()}
    assert {name.split(".")[0] for name in lost} == {"attention"}
    assert answer(plain, torch.randn(1, 3, side, side)).std() > 0


@pytest.mark.parametrize(("height", "width"), [(30, 30), (28, 29), (31, 16), (50, 50), (33, 64)])
def test_the_border_is_repeated_on_the_way_in_and_cut_off_on_the_way_out(height, width):
    """Equal to the result for a picture with its last row and column repeated."""
    model, x = build(3, height, width), torch.randn(2, 3, height, width)
    multiple = 8 if max(height, width) > 32 else 4
    rows, columns = (
        torch.arange(-(-side // multiple) * multiple).clamp(max=side - 1)
        for side in (height, width)
    )
    larger = x[:, :, rows][..., columns]
    assert torch.equal(pad(x, multiple), larger)
    torch.testing.assert_close(answer(model, x), answer(model, larger)[..., :height, :width])


def test_nothing_is_padded_where_the_sides_fit():
    x = torch.randn(2, 3, 24, 40)
    assert pad(x, 4) is x
    assert pad(x, 8) is x


@pytest.mark.parametrize(
    "shape",
    [[2, 32, 32], [4, 32, 32], [1, 15, 28], [3, 28, 12], [3, 65, 64], [1, 20, 512], [2], [1, 28]],
    ids=str,
)
def test_other_shapes_are_refused_with_the_rule(shape):
    with pytest.raises(ValueError, match="1 or 3 channels and sides of 16 to 64 pixels"):
        build_model({**CONFIG, "shape": shape})


# ------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_fold_puts_each_pixel_of_a_square_into_channels_of_its_own(channels):
    x = torch.randn(2, channels, 6, 10)
    folded = fold(x)
    assert folded.shape == (2, 4 * channels, 3, 5)
    for row in range(2):
        for column in range(2):
            first = (2 * row + column) * channels
            part = folded[:, first : first + channels]
            assert torch.equal(part, x[:, :, row::2, column::2])
    assert torch.equal(unfold(folded), x)


@pytest.mark.parametrize("side", [28, 50, 64])
def test_each_channel_goes_in_and_comes_out_as_itself(side):
    """With red, green and blue exchanged, in the picture and in the first and last layer alike,
    the same network answers with red, green and blue exchanged."""
    order = [2, 0, 1]
    model, other = build(3, side, side), build(3, side, side)
    with torch.no_grad():
        width = len(other.stem.weight)
        other.stem.weight.copy_(
            model.stem.weight.view(width, 4, 3, 3, 3)[:, :, order].flatten(1, 2)
        )
        for new, old in zip(other.head.parameters(), model.head.parameters(), strict=True):
            new.copy_(old.view(4, 3, *old.shape[1:])[:, order].flatten(0, 1))
    x = torch.randn(2, 3, side, side)
    found = answer(other, x[:, order])
    torch.testing.assert_close(found, answer(model, x)[:, order], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, answer(model, x), atol=0.1)


# ------------------------------------------------------------------------ training and storing


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 50, 40), (1, 64, 64)], ids=str)
def test_hidden_weights_are_those_of_all_convolutions_but_the_first_and_the_last(shape):
    model = build(*shape)
    names = {id(weight): name for name, weight in model.named_parameters()}
    hidden = {names[id(weight)] for weight in model.hidden_weights()}
    convolutions = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert hidden == convolutions - {"stem.weight", "head.weight"}
    assert len(model.hidden_weights()) == (16 if max(shape) <= 32 else 22)


def test_a_network_of_three_levels_comes_back_from_its_configuration():
    config = {**CONFIG, "shape": [3, 50, 64]}
    model = build(3, 50, 64)
    checkpoint = {"config": config, "model": model.state_dict(), "ema": model.state_dict()}
    x = torch.randn(2, 3, 50, 64)
    assert torch.equal(answer(load_model(checkpoint), x), answer(model.eval(), x))


@pytest.mark.parametrize("shape", [(3, 30, 30), (3, 50, 64)], ids=str)
def test_dropout_reaches_every_level(shape):
    """In training, values in the branch of each residual block are dropped; in use, none are."""
    model, zeros = build(*shape, dropout=0.5).train(), {}

    def note(name):
        return lambda _, inputs, output: zeros.update({name: (output == 0).float().mean().item()})

    for name, module in model.named_modules():
        if name.endswith("dropout"):
            module.register_forward_hook(note(name))
    answer(model, torch.randn(2, *shape))
    assert len(zeros) == (6 if max(shape) <= 32 else 8)
    assert all(0.4 < share < 0.6 for share in zeros.values())
    answer(model.eval(), torch.randn(2, *shape))
    assert all(share < 0.1 for share in zeros.values())
