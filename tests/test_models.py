"""The U-Net and its embeddings."""

import math

import pytest
import torch

from errors import InputError
from models import build_model, load_model
from models.embeddings import sinusoidal_embedding
from models.unet import UNet

CONFIG = {"model": "unet", "base_channels": 8}


def awakened(model: torch.nn.Module) -> torch.nn.Module:
    """The model with its zero-initialised layers filled, so that every branch is alive."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_default_size_is_about_two_million_parameters():
    count = sum(p.numel() for p in UNet().parameters())
    assert 1.7e6 <= count <= 2.3e6


@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("base_channels", [1, 12, 64])
def test_output_has_the_shape_of_the_input(batch, base_channels):
    model = awakened(UNet(base_channels=base_channels))
    out = model(torch.randn(batch, 1, 28, 28), torch.arange(batch))
    assert out.shape == (batch, 1, 28, 28)
    assert torch.isfinite(out).all()
    assert out.std() > 0


def test_a_new_network_answers_zero():
    """The last layer starts at zero: the first loss is that of the mean answer, not of chaos."""
    assert not UNet(base_channels=8)(torch.randn(2, 1, 28, 28), torch.tensor([0, 9])).any()


def test_every_parameter_gets_a_gradient():
    model = awakened(UNet(base_channels=16))
    out = model(torch.randn(4, 1, 28, 28), torch.tensor([0, 10, 500, 999]))
    (out**2).mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_time_changes_the_output():
    model = awakened(UNet(base_channels=16))
    x = torch.randn(1, 1, 28, 28).expand(3, -1, -1, -1)
    a, b, c = model(x, torch.tensor([10, 11, 900]))
    assert not torch.allclose(a, b, atol=1e-6)
    assert not torch.allclose(a, c, atol=1e-3)


def test_examples_of_a_batch_do_not_mix():
    model = awakened(UNet(base_channels=16))
    x, t = torch.randn(5, 1, 28, 28), torch.arange(5)
    torch.testing.assert_close(model(x, t)[2:3], model(x[2:3], t[2:3]), rtol=1e-4, atol=1e-4)


def test_sinusoidal_embedding_is_the_formula():
    embedding = sinusoidal_embedding(torch.tensor([0, 7, 999]), 6)
    for row, t in zip(embedding, (0, 7, 999), strict=True):
        frequencies = [10_000 ** (-k / 3) for k in range(3)]
        expected = [math.cos(t * f) for f in frequencies] + [math.sin(t * f) for f in frequencies]
        assert row.tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_odd_embedding_sizes_are_refused(size):
    with pytest.raises(ValueError, match="even"):
        sinusoidal_embedding(torch.tensor([1]), size)


def test_load_model_takes_the_weights_asked_for():
    last, average = awakened(build_model(CONFIG)), build_model(CONFIG)
    checkpoint = {"config": CONFIG, "model": last.state_dict(), "ema": average.state_dict()}
    for use_ema, original in ((False, last), (True, average)):
        loaded = load_model(checkpoint, use_ema)
        assert not loaded.training
        for a, b in zip(loaded.parameters(), original.parameters(), strict=True):
            assert torch.equal(a, b)


def test_weights_that_do_not_fit_name_the_first_tensor():
    weights = build_model({**CONFIG, "base_channels": 16}).state_dict()
    with pytest.raises(InputError, match=r"attention\.norm\.bias .*\(32,\).*\(16,\)"):
        load_model({"config": CONFIG, "model": weights, "ema": weights})
    del (weights := build_model(CONFIG).state_dict())["stem.bias"]
    with pytest.raises(InputError, match=r"stem\.bias .* missing"):
        load_model({"config": CONFIG, "model": weights, "ema": weights})


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match="unknown model"):
        build_model({"model": "transformer"})
