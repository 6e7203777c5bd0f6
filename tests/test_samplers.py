"""samplers.py against the papers' formulas, and against exact results for Gaussian data."""

import inspect
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import names
import samplers
import utils
from diffusion import CLEAN, Diffusion, make_schedule
from names import SCHEDULES
from samplers import (
    MIDDLE,
    MOST_NOISE,
    accelerate,
    consistency,
    ddim,
    ddpm,
    dpmpp,
    exact_denoiser,
    final,
    heun,
    levelled_timesteps,
    step_coefficients,
    trailing_timesteps,
)

PRESERVING = [name for name in SCHEDULES if name not in ("log_linear", "flow")]


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
    *((name, sampler) for name in SCHEDULES for sampler in ("heun", "dpmpp", "dpmpp, eta 1")),
]
SAMPLERS = {"ddpm": ddpm, "heun": heun, "dpmpp": dpmpp, "dpmpp, eta 1": partial(dpmpp, eta=1.0)}
NOISE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


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
    denoise = exact_denoiser_of_gaussian(schedule)
    if isinstance(eta, str):
        x = final(SAMPLERS[eta](denoise, start, schedule, timesteps))
    else:
        x = final(ddim(denoise, start, schedule, timesteps, eta=eta))
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


def test_the_exact_denoiser_is_exact_where_there_is_hardly_any_noise():
    torch.manual_seed(0)
    schedule = make_schedule("log_linear")
    data = torch.rand(2000, 2)
    x = data + 0.002 * torch.randn(2000, 2)
    exact = exact_denoiser(data.double(), schedule)(x.double(), 0)[0]
    error = (exact_denoiser(data, schedule)(x, 0)[0] - exact).abs().max()
    assert error < 0.002 * schedule.at(0)[1]


def test_the_exact_denoiser_of_many_points_works_in_parts(monkeypatch):
    torch.manual_seed(0)
    data, x, schedule = torch.randn(500, 2), torch.randn(301, 2), make_schedule("cosine")
    whole = exact_denoiser(data, schedule)(x, 400)
    held, softmax = [], torch.softmax

    def measured(logits, dim):
        held.append(logits.numel())
        return softmax(logits, dim)

    monkeypatch.setattr(torch, "softmax", measured)
    monkeypatch.setattr(utils, "AT_ONCE", 10_000)
    for found, expected in zip(exact_denoiser(data, schedule)(x, 400), whole, strict=True):
        torch.testing.assert_close(found, expected)
    assert max(held) <= 10_000


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


def error_of(sampler, steps: int) -> float:
    """How far the covariance of the samples is from the data's, for Gaussian data, alpha = 1.

    There every sampler is an affine map of its starting noise and of all its fresh noise. So rows
    with one unit of noise each, beside one with none, tell the covariance without any chance.
    """
    schedule = make_schedule("log_linear", 1000)
    wide = torch.linalg.cholesky(COVARIANCE + 100 * torch.eye(2, dtype=torch.float64))
    x = MEAN.repeat(3 + 2 * steps, 1)
    x[1:3] += wide.T
    units = iter(torch.eye(len(x), dtype=torch.float64)[:, 3:].split(2, dim=1))
    if "randn_like" in inspect.signature(sampler).parameters:
        sampler = partial(sampler, randn_like=lambda x: next(units))
    timesteps = trailing_timesteps(1000, steps)
    x = final(sampler(exact_denoiser_of_gaussian(schedule), x, schedule, timesteps))
    map_of_noise = (x[1:] - x[0]).T
    return (map_of_noise @ map_of_noise.T - COVARIANCE).norm().item()


SDE = pytest.param(partial(dpmpp, eta=1.0), 2, id="dpmpp-fresh-noise")


def mixture_denoiser(schedule, centres: Tensor, deviation: float):
    """E[x_0 | x_t] for Gaussians around `centres` (N, 2), alike in weight and deviation."""

    def denoise(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.at(t)
        variance = alpha**2 * deviation**2 + sigma**2
        off = x[:, None] - alpha * centres
        weights = torch.softmax(-off.square().sum(2) / (2 * variance), dim=1)
        means = centres + alpha * deviation**2 / variance * off
        x0 = (weights[:, :, None] * means).sum(1)
        return x0, (x - alpha * x0) / sigma

    return denoise


def heun_by_the_mean_of_x0(denoise, x, schedule, timesteps):
    """Heun's method for equation 17 of docs/MATH.md, in place of 18."""
    for t, s in pairwise((*timesteps, CLEAN)):
        x0, eps = denoise(x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
        x = alpha_s * x0 + sigma_s * eps
        if s != CLEAN:
            x = x + 0.5 * (alpha_s - alpha_t * sigma_s / sigma_t) * (denoise(x, s)[0] - x0)
        yield x


# Two Gaussians: their centres, and their standard deviation.
PAIR = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64), 0.3


@pytest.mark.parametrize("name", SCHEDULES)
def test_heun_is_more_exact_than_by_the_mean_of_x0(name):
    """Root mean square distances to samples of 1,000 steps: the table in docs/MATH.md."""
    torch.manual_seed(0)
    schedule = make_schedule(name)
    denoise = mixture_denoiser(schedule, *PAIR)
    start = math.hypot(*schedule.at(999)) * torch.randn(200, 2, dtype=torch.float64)

    def made(sampler, steps: int) -> Tensor:
        return final(sampler(denoise, start, schedule, trailing_timesteps(1000, steps)))

    exact = made(heun, 1000)
    for steps in (5, 10, 20, 50):
        ours, theirs = (
            (made(sampler, steps) - exact).square().mean().sqrt().item()
            for sampler in (heun, heun_by_the_mean_of_x0)
        )
        print(f"{name:10} {steps:2} steps: {ours:.4f}, by the mean of x0 {theirs:.4f}")
        assert ours < 0.97 * theirs


@pytest.mark.parametrize("name", SCHEDULES)
def test_heun_does_not_bend_where_x0_and_eps_stay_the_same(name):
    """A single point as data: the way to it is known, and every step of it is exact."""
    schedule = make_schedule(name)
    denoise = mixture_denoiser(schedule, MEAN[None], 0.0)
    eps = torch.randn(5, 2, dtype=torch.float64)
    alpha, sigma = schedule.at(999)
    timesteps = trailing_timesteps(1000, 4)
    states = heun(denoise, alpha * MEAN + sigma * eps, schedule, timesteps)
    for x, t in zip(states, timesteps[1:], strict=False):
        alpha, sigma = schedule.at(t)
        torch.testing.assert_close(x, alpha * MEAN + sigma * eps)


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (ddpm, 1), (heun, 2), (dpmpp, 2), SDE])
def test_order_of_convergence(sampler, order):
    """Twice the steps, half the error of a first-order method, a quarter of a second-order one."""
    ratio = error_of(sampler, 80) / error_of(sampler, 160)
    assert 2 ** (order - 0.1) < ratio < 2 ** (order + 0.1)


def test_second_order_is_better_for_the_same_evaluations():
    assert error_of(dpmpp, 20) < 0.2 * error_of(ddim, 20)
    assert error_of(partial(dpmpp, eta=1.0), 20) < 0.2 * error_of(ddpm, 20)
    assert error_of(heun, 10) < error_of(ddim, 20)  # 19 evaluations


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_dpmpp_is_as_lu_et_al_write_it(name, fresh):
    """Algorithm 2, and SDE-DPM-Solver++ (2M): h, r, exponentials, first order at both ends."""
    schedule = make_schedule(name, 1000)
    times = [999, 700, 500, 200, 30]
    alpha, sigma, lam = schedule.alphas, schedule.sigmas, schedule.half_log_snr
    denoise = exact_denoiser_of_gaussian(schedule)
    torch.manual_seed(0)
    start = x = torch.randn(6, 2, dtype=torch.float64)
    noises = torch.randn(len(times) - 1, *x.shape, dtype=torch.float64)
    previous = h_previous = None
    for (i, j), z in zip(pairwise(times), noises, strict=True):
        estimate, _ = denoise(x, i)
        h = lam[j] - lam[i]
        d = estimate
        if previous is not None:
            r = h_previous / h
            d = (1 + 1 / (2 * r)) * estimate - 1 / (2 * r) * previous
        if fresh:
            x = sigma[j] / sigma[i] * torch.exp(-h) * x - alpha[j] * torch.expm1(-2 * h) * d
            x = x + sigma[j] * torch.sqrt(-torch.expm1(-2 * h)) * z
        else:
            x = sigma[j] / sigma[i] * x - alpha[j] * torch.expm1(-h) * d
        previous, h_previous = estimate, h
    drawn = iter(noises)
    made = dpmpp(denoise, start, schedule, times, float(fresh), lambda x: next(drawn))
    *_, state, sample = made
    torch.testing.assert_close(state, x)
    torch.testing.assert_close(sample, denoise(x, 30)[0])


@pytest.mark.parametrize(("sampler", "evaluations"), [(ddim, 7), (dpmpp, 7), (heun, 13)])
def test_evaluations_of_the_network(sampler, evaluations):
    schedule, asked = make_schedule("cosine"), []
    exact = exact_denoiser_of_gaussian(schedule)

    def denoise(x, t):
        asked.append(t)
        return exact(x, t)

    states = list(sampler(denoise, NOISE, schedule, trailing_timesteps(1000, 7)))
    assert (len(states), len(asked)) == (7, evaluations)


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp])
def test_a_network_may_overwrite_its_answers(sampler, prediction):
    """Like a CUDA graph, which writes every output into the same memory."""
    schedule, memory = make_schedule("cosine"), torch.empty_like(NOISE)
    diffusion = Diffusion(schedule, prediction)
    timesteps = trailing_timesteps(1000, 6)

    def overwriting(x: Tensor, t: Tensor) -> Tensor:
        return memory.copy_(torch.tanh(2 * x) + 0.001 * t)

    found, expected = (
        final(sampler(diffusion.denoiser(network), NOISE, schedule, timesteps))
        for network in (overwriting, lambda x, t: overwriting(x, t).clone())
    )
    assert torch.equal(found, expected)


def test_acceleration_with_momentum_2_is_more_accurate_in_few_steps():
    """Against the exact solution for a Gaussian, on the process of the paper (alpha = 1).

    There the sampler is an affine map, so three points tell where all of them go.
    """
    schedule = make_schedule("log_linear", 400)
    wide = torch.linalg.cholesky(COVARIANCE + 100 * torch.eye(2, dtype=torch.float64))
    errors = {}
    for momentum in (1.0, 2.0):
        denoise = accelerate(exact_denoiser_of_gaussian(schedule), schedule, momentum)
        timesteps = trailing_timesteps(400, 15)
        x = final(ddim(denoise, MEAN + NOISE @ wide.T, schedule, timesteps))
        map_of_noise = (x[1:] - x[0]).T
        errors[momentum] = (map_of_noise @ map_of_noise.T - COVARIANCE).norm().item()
    assert errors[2.0] < 0.75 * errors[1.0]  # 0.086 and 0.122


def test_momentum_is_an_option_of_ddim():
    schedule = make_schedule("linear", 100)
    denoise, timesteps = toy_denoiser(schedule), trailing_timesteps(100, 10)
    accelerated = final(ddim(accelerate(denoise, schedule, 2.0), NOISE, schedule, timesteps))
    assert torch.equal(final(ddim(denoise, NOISE, schedule, timesteps, momentum=2.0)), accelerated)


@pytest.mark.parametrize("name", names.SAMPLERS)
def test_all_samplers_take_the_same_arguments_and_their_options(name):
    schedule, sampler = make_schedule("linear", 100), getattr(samplers, name)
    timesteps = trailing_timesteps(100, 5)
    options = [{}, *({option.name: 0.5} for option in names.SAMPLERS[name].options)]
    toy = toy_denoiser(schedule)

    def denoise(x, t, *to):
        assert len(to) == names.SAMPLERS[name].jumps
        return toy(x, t)

    for given in options:
        states = sampler(denoise, NOISE, schedule, timesteps, randn_like=torch.ones_like, **given)
        assert len(list(states)) == 5
    parameters = list(inspect.signature(sampler).parameters)
    assert parameters[:4] == ["denoise", "x", "schedule", "timesteps"]


# ------------------------------------------------------------------------- in one or two steps


@pytest.mark.parametrize("name", SCHEDULES)
def test_levelled_timesteps_begin_in_noise_and_go_on_about_the_middle(name):
    schedule = make_schedule(name)
    levels = (schedule.sigmas / schedule.alphas).tolist()
    first = max(t for t, level in enumerate(levels) if level <= MOST_NOISE)
    for steps, expected in ((1, []), (2, [1]), (4, [2, 1, 0.5]), (8, [2**1.5, 2, 2**0.5])):
        timesteps = levelled_timesteps(schedule, steps)
        assert len(timesteps) == steps
        assert timesteps[0] == first
        assert all(a > b for a, b in pairwise(timesteps))
        for t, level in zip(timesteps[1:], expected, strict=False):
            nearest = min(range(1000), key=lambda t: abs(math.log(levels[t] / (level * MIDDLE))))
            assert t == nearest


def test_there_are_as_many_levelled_timesteps_as_there_can_be():
    schedule = make_schedule("log_linear", 6)
    assert levelled_timesteps(schedule, 6) == [5, 4, 3, 2, 1, 0]
    with pytest.raises(ValueError, match="choose from 1 to 6 steps, not 7"):
        levelled_timesteps(schedule, 7)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("name", SCHEDULES)
def test_consistency_has_the_mean_and_covariance_of_a_gaussian_in_any_number_of_steps(name, steps):
    """By the exact function: y = x / alpha goes to m + (C (C + s^2 I)^-1)^(1/2) (y - m)."""
    schedule = make_schedule(name)
    mean = torch.tensor([0.4, -0.7], dtype=torch.float64)
    covariance = torch.tensor([[0.8, 0.3], [0.3, 0.4]], dtype=torch.float64)
    values, axes = torch.linalg.eigh(covariance)

    def jump(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.at(t)
        scale = (values / (values + (sigma / alpha) ** 2)).sqrt()
        x0 = mean + (x / alpha - mean) @ (axes * scale) @ axes.T
        return x0, (x - alpha * x0) / sigma

    torch.manual_seed(0)
    timesteps = levelled_timesteps(schedule, steps)
    noise = torch.randn(200_000, 2, dtype=torch.float64)
    x = Diffusion(schedule, "x0").starting_noise(noise, timesteps[0])
    samples = final(consistency(jump, x, schedule, timesteps))
    # In one step nothing makes up for the data that are left in x where sampling begins, whose
    # noise level is 10 at least.
    loose = 0.1 if steps == 1 else 0.03
    assert samples.mean(dim=0).tolist() == pytest.approx(mean.tolist(), abs=loose)
    assert samples.T.cov().flatten().tolist() == pytest.approx(
        covariance.flatten().tolist(), abs=0.01
    )


def test_consistency_jumps_and_adds_noise_up_to_the_next_level():
    schedule = make_schedule("flow", 100)
    denoise, timesteps = toy_denoiser(schedule), [90, 60]
    states = list(
        consistency(denoise, NOISE, schedule, timesteps, randn_like=lambda x: 0 * x + 0.5)
    )
    first, _ = denoise(NOISE, 90)
    alpha, sigma = schedule.at(60)
    assert torch.allclose(states[0], alpha * first + 0.5 * sigma)
    assert torch.allclose(states[1], denoise(states[0], 60)[0])
    assert len(states) == 2
