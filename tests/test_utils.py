"""utils.py: device, noise and the moving average."""

import pytest
import torch
from torch import nn

from system.errors import InputError
from utils import (
    EMA,
    POWER,
    SeededNoise,
    choose_device,
)


def test_cpu_is_always_there():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


def test_a_missing_device_names_those_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="no cuda device here; --device can be cpu"):
        choose_device("cuda")


def test_noise_of_a_sample_does_not_depend_on_its_batch():
    together = SeededNoise(5, 0, 200, "cpu")
    alone = SeededNoise(5, 70, 30, "cpu")
    for _ in range(3):
        whole = together.draw(1, 2, 2)
        torch.testing.assert_close(alone.randn_like(torch.empty(30, 1, 2, 2)), whole[70:100])


def test_noise_is_normal_and_new_for_every_seed_block_and_draw():
    noise = SeededNoise(0, 0, 128, "cpu")
    first, second = noise.draw(200), noise.draw(200)
    other = SeededNoise(1, 0, 128, "cpu").draw(200)
    for a, b in ((first, second), (first, other), (first[:64], first[64:])):
        correlation = (a * b).mean() * (a.numel() ** 0.5)  # in standard errors
        assert abs(correlation.item()) < 4
    assert abs(first.var().item() - 1) < 4 * (2 / first.numel()) ** 0.5


def test_ema_warms_up_and_then_keeps_its_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = EMA(model, decay=0.5)
    expected = 0.0
    for n in range(1, 30):
        nn.init.constant_(model.weight, float(n))
        ema.update(model)
        decay = min(0.5, (1 - 1 / n) ** 7.94)
        expected = decay * expected + (1 - decay) * n
        assert ema.model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == 29  # the network itself is not touched


def test_ema_weighs_by_a_power_of_the_step():
    """Against the integral that defines it: weights after step k count as k^6.94."""
    model = nn.Linear(1, 1, bias=False)
    ema = EMA(model, decay=0.9999)
    values = torch.sin(torch.arange(1, 2001) / 150)
    for value in values:
        nn.init.constant_(model.weight, value.item())
        ema.update(model)
    weights = torch.arange(1, 2001).double() ** POWER
    expected = (weights * values).sum() / weights.sum()
    assert ema.model.weight.item() == pytest.approx(expected.item(), abs=2e-3)
