"""The variational bound of images, on images whose entropy is known."""

import math

import pytest
import torch
from studio import record_figures
from torch.special import ndtr

import evaluation.bound
from datasets.units import to_unit
from diffusion import Diffusion, make_schedule
from evaluation.bound import (
    bound_figures,
    cost_of_noise,
    cost_of_pixels,
    log_share,
    parts_of,
    variational_bound,
)

SIDE = 4
torch.manual_seed(0)
IMAGES = to_unit(torch.randint(0, 256, (8, SIDE, SIDE), dtype=torch.uint8))
ENTROPY = 3 / SIDE**2  # of one in eight images, in bits per dimension


def exact(schedule):
    """The mean of the images that x could come from, as an x0 prediction."""

    def model(x, t, labels=None):
        alpha, sigma = (table[t].float()[:, None] for table in (schedule.alphas, schedule.sigmas))
        size = torch.hypot(alpha, sigma)
        away = (size * x.flatten(1))[:, None] - alpha[:, :, None] * IMAGES.flatten(1)
        shares = (-away.square().sum(2) / (2 * sigma**2)).softmax(1)
        return (shares @ IMAGES.flatten(1)).view(x.shape)

    return model


def process(name="cosine", timesteps=1000):
    schedule = make_schedule(name, timesteps)
    return Diffusion(schedule, "x0", value_range=(-1, 1)), exact(schedule)


@pytest.mark.parametrize("name", ["cosine", "log_linear", "flow", "linear"])
def test_the_bound_of_exact_estimates_is_just_above_the_entropy(name, monkeypatch):
    monkeypatch.setattr(evaluation.bound, "DRAWS", 10_000)
    least = variational_bound(*process(name), IMAGES, None).totals.min().item()
    assert 0.98 * ENTROPY < least < 1.04 * ENTROPY  # as far as the draws are off


def test_fewer_steps_and_worse_estimates_cost_more():
    fine, coarse = (
        variational_bound(*process("cosine", steps), IMAGES, None) for steps in (500, 8)
    )
    assert coarse.totals.min() > 1.2 * fine.totals.min()
    diffusion, model = process("cosine", 500)
    worse = variational_bound(diffusion, lambda x, t: 0.9 * model(x, t), IMAGES, None)
    assert worse.steps.sum() > 1.5 * fine.steps.sum()
    assert worse.totals.min() > 1.5 * fine.totals.min()


def test_a_class_is_told_to_the_network():
    diffusion, _ = process()

    def told(x, t, labels):
        return IMAGES[labels]

    bound = variational_bound(diffusion, told, IMAGES, torch.arange(8))
    assert bound.totals[0].item() == pytest.approx(0, abs=1e-8)
    assert bound.steps.abs().max() == 0


def test_the_parts_are_all_timesteps():
    for name, timesteps in (("cosine", 1000), ("flow", 300), ("log_linear", 2), ("linear", 10)):
        ends = parts_of(make_schedule(name, timesteps))
        assert (ends[0], ends[-1]) == (0, timesteps - 1)
        assert ends == sorted(set(ends))


def test_pixels_cost_the_share_of_their_grey_level():
    x0 = torch.tensor([[-1.0, 1.0, 51 / 127.5 - 1, 51 / 127.5 - 1]])
    estimates = torch.tensor([[-0.99, 1.0, -0.61, -0.6]])
    width = (x0 - estimates).double().square().mean().sqrt()
    expected = 0.0
    for x, centre in zip(x0[0].double(), estimates[0].double(), strict=True):
        low, high = ndtr((x + torch.tensor([-1, 1]) / 255 - centre) / width)
        low, high = low * (x > -1), torch.where(x < 1, high, 1.0)
        expected -= torch.log(high - low).item()
    assert cost_of_pixels(x0, (x0 - estimates).double()) == pytest.approx(expected, rel=1e-4)


def test_shares_far_out_keep_their_digits():
    low, high = torch.tensor([5.0, -31.0, -1.0, 40.0]).double(), torch.tensor([6.0, -30.0, 2.0, 41])
    found = log_share(low, high.double())
    assert found[0].item() == pytest.approx(math.log(2.8566483e-7), rel=1e-5)
    assert found[2].item() == pytest.approx(math.log(0.8185946), rel=1e-5)
    # A tail of the normal distribution is its density over x, less 1 / x^2 of that.
    for i, x in ((1, 30.0), (3, 40.0)):
        tail = -(x**2) / 2 - math.log(x * math.sqrt(2 * math.pi)) - 1 / x**2
        assert found[i].item() == pytest.approx(tail, abs=1e-4)


def test_the_last_noise_costs_its_divergence_from_normal():
    schedule = make_schedule("quadratic", 10, beta_end=0.2)
    alpha, sigma = schedule.at(9)
    start = torch.distributions.Normal(torch.tensor(0.0).double(), math.hypot(alpha, sigma))
    x = torch.distributions.Normal(alpha * IMAGES.double(), sigma)
    expected = torch.distributions.kl_divergence(x, start).flatten(1).sum(1).mean()
    assert cost_of_noise(schedule, IMAGES) == pytest.approx(expected.item(), rel=1e-6)
    assert cost_of_noise(make_schedule("flow"), IMAGES) == 0


def test_the_picture_shows_all_parts_and_the_least(tmp_path, monkeypatch):
    figures = record_figures(monkeypatch)
    diffusion, model = process("cosine", 300)
    found = bound_figures(diffusion, model, IMAGES, None, tmp_path / "bits.png")
    bound = variational_bound(diffusion, model, IMAGES, None)
    left, right = figures["bits"].axes
    assert left.patches[0].get_data().values == pytest.approx(bound.steps.numpy())
    levels, totals = right.lines[0].get_data()
    assert totals == pytest.approx(bound.totals.numpy())
    assert levels[0] == pytest.approx(diffusion.schedule.noise_levels[0].item())
    ((least, nothing, _),) = found.values()
    assert least == min(totals) == right.lines[1].get_ydata()[0]
    assert math.isnan(nothing)
    end = bound.ends[bound.totals.argmin()]
    assert f"t = {end}" in figures["bits"].get_suptitle()
