"""diffusion.py against the papers' formulas and against closed forms."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diffusion import (
    CLEAN,
    PREDICTIONS,
    SCHEDULES,
    Diffusion,
    accelerate,
    ddim,
    ddpm,
    exact_denoiser,
    final,
    make_schedule,
    step_coefficients,
    trailing_timesteps,
)

# ------------------------------------------------------------------------------ noise schedules


def test_linear_schedule_is_that_of_ho_et_al():
    expected, product = [], 1.0
    for i in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
        expected.append(product)
    schedule = make_schedule("linear", 1000)
    torch.testing.assert_close(
        schedule.alphas_cumprod, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0
    )
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(4.04e-5, rel=1e-2)


def test_cosine_schedule_is_that_of_nichol_and_dhariwal():
    schedule = make_schedule("cosine", 1000)

    def f(t: int) -> float:
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    # Their t = 1 ... T is our index + 1. The cut at beta = 0.999 touches only the last entry.
    for t in (1, 2, 10, 250, 500, 900, 999):
        assert schedule.alphas_cumprod[t - 1].item() == pytest.approx(f(t) / f(0), rel=1e-8)
    ratio = schedule.alphas_cumprod[-1] / schedule.alphas_cumprod[-2]
    assert ratio.item() == pytest.approx(0.001, rel=1e-6)


def test_quadratic_and_sigmoid_betas():
    def betas(name: str) -> Tensor:
        cumprod = make_schedule(name, 1000).alphas_cumprod
        return 1 - cumprod[1:] / cumprod[:-1]

    steps = betas("quadratic").sqrt().diff()
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-6, atol=0)
    logits = torch.logit((betas("sigmoid") - 1e-4) / (0.02 - 1e-4))
    torch.testing.assert_close(
        logits, torch.linspace(-6, 6, 1000, dtype=torch.float64)[1:], rtol=1e-6, atol=1e-6
    )


PRESERVING = [name for name in SCHEDULES if name != "log_linear"]


@pytest.mark.parametrize("name", PRESERVING)
@pytest.mark.parametrize("timesteps", [1, 2, 10, 100, 1000, 4000])
def test_schedules_preserve_variance_and_end_in_noise(name, timesteps):
    schedule = make_schedule(name, timesteps)
    assert len(schedule) == timesteps
    assert schedule.alphas.dtype == torch.float64
    torch.testing.assert_close(
        schedule.alphas**2 + schedule.sigmas**2, torch.ones(timesteps, dtype=torch.float64)
    )
    assert bool((schedule.half_log_snr.diff() < 0).all())
    if timesteps >= 100:  # at every usual T the data is gone at the end, whatever T is
        assert schedule.alphas[-1] < 0.05


def test_log_linear_schedule():
    schedule = make_schedule("log_linear", 101, sigma_min=0.01, sigma_max=100)
    assert bool((schedule.alphas == 1).all())
    assert schedule.sigmas[[0, 25, 50, 75, 100]].tolist() == pytest.approx([0.01, 0.1, 1, 10, 100])


def test_given_betas_are_used_as_they_are():
    schedule = make_schedule("linear", 10, beta_start=0.1, beta_end=0.1)
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(0.9**10)


@pytest.mark.parametrize(
    "arguments",
    [
        ("exponential", 10),
        ("linear", 0),
        ("linear", 10, 0.0, 0.1),
        ("linear", 10, 0.2, 0.1),
        ("linear", 10, 0.1, 1.0),
        ("log_linear", 10, None, None, 0.0, 1.0),
        ("log_linear", 10, None, None, 2.0, 1.0),
    ],
)
def test_impossible_schedules_are_refused(arguments):
    with pytest.raises(ValueError, match=r"unknown|timestep|beta|sigma"):
        make_schedule(*arguments)


# --------------------------------------------------------------- forward process and the loss


@pytest.mark.parametrize("t", [0, 100, 500, 999])
def test_forward_marginal(t):
    """x_t given x_0 is normal with mean alpha_t x_0 and variance sigma_t^2."""
    torch.manual_seed(0)
    count = 200_000
    schedule = make_schedule("linear")
    x0 = torch.full((count, 1), 0.7)
    x = Diffusion(schedule).add_noise(x0, torch.full((count,), t), torch.randn_like(x0))
    alpha, sigma = schedule.at(t)
    assert abs(x.mean().item() - alpha * 0.7) < 4 * sigma / math.sqrt(count)
    assert abs(x.var().item() - sigma**2) < 4 * sigma**2 * math.sqrt(2 / count)


def test_every_example_gets_its_own_timestep():
    schedule = make_schedule("linear", 10)
    x0, eps = torch.ones(10, 1, 2, 2), torch.zeros(10, 1, 2, 2)
    x = Diffusion(schedule).add_noise(x0, torch.arange(10), eps)
    torch.testing.assert_close(x[:, 0, 1, 1].double(), schedule.alphas, rtol=1e-6, atol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("t", [0, 300, 999])
def test_estimates_undo_target(prediction, t):
    """A network that answers exactly the target yields exactly x_0 and eps."""
    torch.manual_seed(0)
    diffusion = Diffusion(make_schedule("linear"), prediction, clip=False)
    x0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    times = torch.full((5,), t)
    x, output = diffusion.add_noise(x0, times, eps), diffusion.target(x0, times, eps)
    estimates = diffusion.estimates(output, x, t)
    # The tables for training are float32, and dividing by a small alpha or sigma enlarges that.
    torch.testing.assert_close(estimates[0], x0, rtol=0, atol=1e-4)
    torch.testing.assert_close(estimates[1], eps, rtol=0, atol=1e-4)


def test_clipped_estimates_still_add_up_to_x():
    torch.manual_seed(0)
    schedule = make_schedule("linear")
    x = 3 * torch.randn(100, 2, dtype=torch.float64)
    x0, eps = Diffusion(schedule).estimates(torch.randn_like(x), x, 400)
    alpha, sigma = schedule.at(400)
    assert x0.abs().max().item() == 1
    torch.testing.assert_close(alpha * x0 + sigma * eps, x)


def test_loss_is_the_squared_error_of_the_target():
    torch.manual_seed(0)
    diffusion = Diffusion(make_schedule("linear"))
    x0 = torch.randn(4000, 1, 4, 4)
    seen = []

    def half_right(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        alpha, sigma = diffusion.coefficients(t, x)
        return 0.5 * (x - alpha * x0) / sigma  # half of eps

    # E[(eps / 2)^2] = 1/4, with a standard error of sqrt(2) / 4 / sqrt(64000) = 0.0014.
    assert diffusion.loss(half_right, x0).item() == pytest.approx(0.25, abs=0.006)
    assert seen[0].min() < 10
    assert seen[0].max() > 990


def test_inverse_sigma_weights_the_squared_errors():
    """With the same draws, the loss is the mean of error / (sigma^2 + 1e-4)."""
    diffusion = Diffusion(make_schedule("linear"), "x0", weighting="inverse_sigma")
    x0 = torch.randn(500, 1, 4, 4)
    seen = []

    def zero(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    loss = diffusion.loss(zero, x0)
    weights = 1 / (diffusion.schedule.sigmas[seen[0]] ** 2 + 1e-4)
    expected = (weights * x0.double().square().mean((1, 2, 3))).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(ValueError, match="unknown loss weighting"):
        Diffusion(make_schedule("linear"), weighting="snr")


@pytest.mark.parametrize("name", ["linear", "log_linear"])
@pytest.mark.parametrize("t", [0, 500, 999])
def test_the_network_sees_inputs_of_variance_one(name, t):
    torch.manual_seed(0)
    diffusion = Diffusion(make_schedule(name), clip=False)
    seen = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return x

    x0, times = torch.randn(20_000, 2), torch.full((20_000,), t)
    diffusion.run_model(model, diffusion.add_noise(x0, times, torch.randn_like(x0)), times)
    assert seen[0].var().item() == pytest.approx(1, abs=0.03)
    start = diffusion.starting_noise(torch.randn(20_000, 2))
    alpha, sigma = diffusion.schedule.at(999)
    assert start.var().item() == pytest.approx(alpha**2 + sigma**2, rel=0.03)


def test_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="unknown prediction"):
        Diffusion(make_schedule("linear"), "score")


# ------------------------------------------------------------------------------ reverse process


@pytest.mark.parametrize(("total", "steps"), [(1000, 1000), (1000, 50), (1000, 7), (10, 9), (5, 1)])
def test_trailing_timesteps(total, steps):
    timesteps = trailing_timesteps(total, steps)
    assert len(timesteps) == steps
    assert timesteps[0] == total - 1
    assert timesteps[-1] >= 0
    assert all(a > b for a, b in pairwise(timesteps))


def test_trailing_timesteps_of_lin_et_al():
    assert trailing_timesteps(1000, 5) == [999, 799, 599, 399, 199]


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(ValueError, match="choose from 1 to 10"):
        trailing_timesteps(10, steps)


def equation_7(cumprod: Tensor, t: int) -> tuple[float, float, float]:
    """Ho et al. 2020, equation 7: the posterior's weights of x_0 and x_t, and its variance.

    t is the paper's, 1 ... T, and abar_0 = 1.
    """

    def abar(k: int) -> float:
        return 1.0 if k == 0 else cumprod[k - 1].item()

    beta = 1 - abar(t) / abar(t - 1)
    on_x0 = math.sqrt(abar(t - 1)) * beta / (1 - abar(t))
    on_xt = math.sqrt(1 - beta) * (1 - abar(t - 1)) / (1 - abar(t))
    return on_x0, on_xt, (1 - abar(t - 1)) / (1 - abar(t)) * beta


@pytest.mark.parametrize("name", PRESERVING)
@pytest.mark.parametrize("t", [1, 2, 500, 1000])
def test_one_ddpm_step_is_equation_7(name, t):
    schedule = make_schedule(name)
    on_x0, on_xt, variance = equation_7(schedule.alphas_cumprod, t)
    index = t - 1
    before = index - 1 if index else CLEAN
    step_x0, step_eps, step_noise = step_coefficients(schedule, index, before, eta=1.0)
    alpha, sigma = schedule.at(index)
    # eps = (x_t - alpha x0) / sigma turns weights of (x0, eps) into weights of (x0, x_t).
    assert step_eps / sigma == pytest.approx(on_xt, rel=1e-6, abs=1e-12)
    assert step_x0 - step_eps * alpha / sigma == pytest.approx(on_x0, rel=1e-6, abs=1e-12)
    assert step_noise**2 == pytest.approx(variance, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_one_ddim_step_is_equation_12_of_song_et_al(eta):
    schedule = make_schedule("linear")
    t, s = 799, 599
    abar_t, abar_s = schedule.alphas_cumprod[[t, s]].tolist()
    sigma = eta * math.sqrt((1 - abar_s) / (1 - abar_t)) * math.sqrt(1 - abar_t / abar_s)
    expected = (math.sqrt(abar_s), math.sqrt(1 - abar_s - sigma**2), sigma)
    assert step_coefficients(schedule, t, s, eta) == pytest.approx(expected, rel=1e-9)


def toy_denoiser(schedule):
    """Some denoiser that is not linear, so that every term of a step matters."""

    def denoise(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.at(t)
        x0 = torch.tanh(2 * x)
        return x0, (x - alpha * x0) / sigma

    return denoise


def test_ddim_with_eta_1_over_all_steps_is_ddpm_as_the_paper_writes_it():
    schedule = make_schedule("linear", 100)
    denoise = toy_denoiser(schedule)
    torch.manual_seed(0)
    start = torch.randn(50, 2, dtype=torch.float64)
    timesteps = trailing_timesteps(100, 100)

    torch.manual_seed(1)  # Algorithm 2 of Ho et al. 2020, written with equation 7
    x = start
    for t in range(100, 0, -1):
        on_x0, on_xt, variance = equation_7(schedule.alphas_cumprod, t)
        x = on_x0 * denoise(x, t - 1)[0] + on_xt * x
        if t > 1:
            x = x + math.sqrt(variance) * torch.randn_like(x)

    torch.manual_seed(1)
    by_ddim = final(ddim(denoise, start, schedule, timesteps, eta=1.0))
    torch.manual_seed(1)
    by_ddpm = final(ddpm(denoise, start, schedule, timesteps))
    torch.testing.assert_close(by_ddim, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(by_ddpm, x, rtol=1e-9, atol=1e-9)


def test_samplers_yield_every_state_and_no_noise_comes_last():
    schedule = make_schedule("cosine", 40)
    start = torch.randn(3, 2)
    states = list(ddpm(toy_denoiser(schedule), start, schedule, trailing_timesteps(40, 8)))
    assert len(states) == 8
    last_estimate, _ = toy_denoiser(schedule)(states[-2], trailing_timesteps(40, 8)[-1])
    torch.testing.assert_close(states[-1], last_estimate)


MEAN = torch.tensor([0.5, -0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.40, 0.15], [0.15, 0.20]], dtype=torch.float64)


def exact_denoiser_of_gaussian(schedule):
    """E[x_0 | x_t] for data that are N(MEAN, COVARIANCE): linear in x_t."""
    eye = torch.eye(2, dtype=torch.float64)

    def denoise(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.at(t)
        gain = alpha * COVARIANCE @ torch.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * eye)
        x0 = MEAN + (x - alpha * MEAN) @ gain.T
        return x0, (x - alpha * x0) / sigma

    return denoise


SAMPLER_CASES = [
    *((name, "ddpm") for name in SCHEDULES),
    *((name, 0.0) for name in SCHEDULES),
    *(("linear", 0.5), ("linear", 1.0), ("log_linear", 0.5)),
]


@pytest.mark.parametrize(("name", "eta"), SAMPLER_CASES)
def test_samplers_recover_a_gaussian(name, eta):
    """With the exact denoiser the samples have the data's mean and covariance."""
    torch.manual_seed(3)
    count = 20_000
    schedule = make_schedule(name)
    timesteps = trailing_timesteps(len(schedule), len(schedule))
    start = torch.randn(count, 2, dtype=torch.float64)
    if name == "log_linear":  # variance exploding: start as wide as the noisiest x is
        start = MEAN + start @ torch.linalg.cholesky(COVARIANCE + 100 * torch.eye(2)).T
    if eta == "ddpm":
        x = final(ddpm(exact_denoiser_of_gaussian(schedule), start, schedule, timesteps))
    else:
        x = final(ddim(exact_denoiser_of_gaussian(schedule), start, schedule, timesteps, eta=eta))
    mean_error = (x.mean(0) - MEAN).abs()
    assert bool((mean_error < 4 * (COVARIANCE.diagonal() / count).sqrt()).all())
    # The variance of an entry of a sample covariance of Gaussian data (Wishart).
    variances = COVARIANCE.diagonal()
    standard_error = ((COVARIANCE**2 + variances[:, None] * variances) / count).sqrt()
    assert bool(((torch.cov(x.T) - COVARIANCE).abs() < 4 * standard_error).all())


def test_exact_denoiser_is_the_posterior_mean():
    """For two data points it is a logistic function, known in closed form."""
    schedule = make_schedule("linear")
    data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    x = torch.tensor([[0.3, 2.0], [-0.1, 0.0]], dtype=torch.float64)
    alpha, sigma = schedule.at(300)
    x0, eps = exact_denoiser(data, schedule)(x, 300)
    torch.testing.assert_close(x0[:, 0], torch.tanh(alpha * x[:, 0] / sigma**2))
    torch.testing.assert_close(alpha * x0 + sigma * eps, x)


def test_exact_denoiser_of_many_gaussian_points_is_that_of_the_gaussian():
    torch.manual_seed(0)
    schedule = make_schedule("linear")
    data = MEAN + torch.randn(40_000, 2, dtype=torch.float64) @ torch.linalg.cholesky(COVARIANCE).T
    x = torch.randn(50, 2, dtype=torch.float64)
    by_points, by_formula = (
        denoise(x, 400)[0]
        for denoise in (exact_denoiser(data, schedule), exact_denoiser_of_gaussian(schedule))
    )
    torch.testing.assert_close(by_points, by_formula, rtol=0, atol=0.03)


def test_acceleration_mixes_in_the_estimate_before():
    schedule = make_schedule("linear")
    plain = toy_denoiser(schedule)
    xs = [torch.randn(4, 2, dtype=torch.float64) for _ in range(2)]
    accelerated = accelerate(plain, schedule, 2.0)
    first, second = accelerated(xs[0], 800), accelerated(xs[1], 400)
    torch.testing.assert_close(first[1], plain(xs[0], 800)[1])
    expected = 2 * plain(xs[1], 400)[1] - plain(xs[0], 800)[1]
    torch.testing.assert_close(second[1], expected)
    alpha, sigma = schedule.at(400)
    torch.testing.assert_close(alpha * second[0] + sigma * second[1], xs[1])


def test_acceleration_with_momentum_2_is_more_accurate_in_few_steps():
    """Against the exact solution for a Gaussian, on the process of the paper (alpha = 1).

    There the sampler is an affine map, so three points tell where all of them go.
    """
    schedule = make_schedule("log_linear", 400)
    wide = torch.linalg.cholesky(COVARIANCE + 100 * torch.eye(2, dtype=torch.float64))
    noise = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    errors = {}
    for momentum in (1.0, 2.0):
        denoise = accelerate(exact_denoiser_of_gaussian(schedule), schedule, momentum)
        timesteps = trailing_timesteps(400, 15)
        x = final(ddim(denoise, MEAN + noise @ wide.T, schedule, timesteps))
        map_of_noise = (x[1:] - x[0]).T
        errors[momentum] = (map_of_noise @ map_of_noise.T - COVARIANCE).norm().item()
    assert errors[2.0] < 0.75 * errors[1.0]  # 0.086 and 0.122


def test_denoiser_passes_one_timestep_for_the_whole_batch_and_no_gradient():
    diffusion = Diffusion(make_schedule("linear"))
    weight = torch.ones(1, requires_grad=True)
    seen = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return weight * x

    x0, eps = diffusion.denoiser(model)(torch.randn(5, 1, 2, 2), 7)
    assert seen[0].tolist() == [7]
    assert not x0.requires_grad
    assert not eps.requires_grad
