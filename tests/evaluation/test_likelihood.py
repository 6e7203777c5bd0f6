"""evaluation/likelihood.py: log-densities against closed forms."""

import math

import pytest
import torch

from datasets.densities import LOG_DENSITIES
from datasets.shapes import make_shape
from diffusion import Diffusion, make_schedule
from evaluation.likelihood import check_likelihood, log_density, velocity
from system.errors import InputError


def mixture_model(schedule, centres, covariance, prediction="x0"):
    """The exact answer for a mixture of equal normal distributions, as a network gives it."""
    diffusion = Diffusion(schedule, prediction)

    def model(seen, t):
        alpha, sigma = schedule.at(int(t))
        x = seen * math.hypot(alpha, sigma)
        total = alpha**2 * covariance + sigma**2 * torch.eye(2, dtype=x.dtype)
        away = x[:, None] - alpha * centres
        weights = torch.softmax(-((away @ total.inverse()) * away).sum(-1) / 2, dim=1)
        each = centres + alpha * away @ total.inverse() @ covariance
        x0 = (weights[..., None] * each).sum(1)
        if prediction == "x0":
            return x0
        eps = (x - alpha * x0) / sigma
        a, b = schedule.velocity_at(int(t))
        return a * eps - b * x0

    return diffusion, model


def root(matrix):
    values, axes = torch.linalg.eigh(matrix)
    return axes * values.sqrt() @ axes.T


def transported(schedule, mean, covariance, x):
    """The density of a Gaussian by the ODE, which maps it to another one and noise to N(0, I)."""
    (cos_0, sin_0), (cos_1, sin_1) = (
        torch.tensor(schedule.at(t)).div(math.hypot(*schedule.at(t))).tolist()
        for t in (0, len(schedule) - 1)
    )
    first, last = (
        cos**2 * covariance + sin**2 * torch.eye(2) for cos, sin in ((cos_0, sin_0), (cos_1, sin_1))
    )
    map_ = root(last) @ root(first).inverse()
    z = cos_1 * mean + cos_0 * (x - mean) @ map_.T
    normal = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    return normal.log_prob(z) + map_.logdet() + 2 * math.log(cos_0)


@pytest.mark.parametrize(
    ("name", "prediction"), [("cosine", "x0"), ("flow", "v"), ("quadratic", "v"), ("linear", "x0")]
)
def test_a_gaussian(name, prediction):
    """To 1e-3; where the process ends in pure noise, it is the density of the data."""
    schedule = make_schedule(name, 1000)
    mean = torch.tensor([0.4, -0.3]).double()
    covariance = torch.tensor([[0.8, 0.3], [0.3, 0.5]]).double()
    diffusion, model = mixture_model(schedule, mean[None], covariance, prediction)
    torch.manual_seed(0)
    true = torch.distributions.MultivariateNormal(mean, covariance)
    x = true.sample((50,))
    found = log_density(diffusion, model, x)
    expected = transported(schedule, mean, covariance, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    of_data = 1e-3 if name in ("cosine", "flow") else 0.05
    torch.testing.assert_close(found, true.log_prob(x), rtol=0, atol=of_data)


def test_a_mixture():
    """The density is that of the least noisy timestep, so what little noise it has counts."""
    centres = torch.tensor([[-1.0, 0.2], [0.9, -0.6], [0.3, 1.0]]).double()
    covariance = 0.15**2 * torch.eye(2).double()
    schedule = make_schedule("cosine", 1000)
    diffusion, model = mixture_model(schedule, centres, covariance)
    torch.manual_seed(0)
    x = centres[torch.arange(60) % 3] + 0.15 * torch.randn(60, 2)
    noise = schedule.noise_levels[0] ** 2 * torch.eye(2)
    each = torch.distributions.MultivariateNormal(centres, covariance + noise)
    true = each.log_prob(x[:, None]).logsumexp(1) - math.log(3)
    torch.testing.assert_close(log_density(diffusion, model, x), true, rtol=0, atol=2e-3)


def test_the_divergence_is_the_trace_of_the_jacobian():
    diffusion = Diffusion(make_schedule("cosine", 100), "v")
    torch.manual_seed(0)
    weights = torch.randn(3, 3).double()
    model = lambda x, t: torch.tanh(x @ weights) + x * 0.1 * t  # noqa: E731
    z = torch.randn(4, 3).double()
    _, divergence = velocity(diffusion, model, z, 30)
    for i in range(4):
        alone = lambda point: velocity(diffusion, model, point[None], 30)[0][0]  # noqa: E731
        shift = 1e-6 * torch.eye(3).double()
        columns = [(alone(z[i] + one) - alone(z[i] - one)) / 2e-6 for one in shift]
        assert divergence[i].item() == pytest.approx(torch.stack(columns).trace().item(), abs=1e-6)


@pytest.mark.parametrize("name", LOG_DENSITIES)
def test_true_densities_are_those_of_the_points(name):
    """They integrate to one, and boxes hold the share of points that they should."""
    points = torch.from_numpy(make_shape(name, 200_000)[0]).double()
    low, high = points.amin(0) - 0.5, points.amax(0) + 0.5
    cells = 400
    axes = [torch.linspace(a, b, cells + 1).double() for a, b in zip(low, high, strict=True)]
    middles = torch.cartesian_prod(*[(axis[1:] + axis[:-1]) / 2 for axis in axes])
    area = ((high - low) / cells).prod()
    mass = (LOG_DENSITIES[name](middles).exp() * area).view(cells, cells)
    assert mass.sum().item() == pytest.approx(1, abs=1e-3)
    counts = torch.histogramdd(points, [axis[::20].contiguous() for axis in axes]).hist
    expected = mass.view(20, 20, 20, 20).sum(dim=(1, 3))
    assert (counts / len(points) - expected).abs().max() < 0.002


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"kind": "points", "objective": "consistency"}, "tuned for few steps"),
        (
            {"kind": "points", "objective": "denoising", "label_counts": [3], "label_dropout": 0},
            "cannot predict without a class",
        ),
    ],
)
def test_what_has_no_likelihood_is_refused(config, said):
    with pytest.raises(InputError, match=said):
        check_likelihood(config)
