"""diffusion.py against the papers' formulas and against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from cli.train_options import parse_arguments
from diffusion import Diffusion, make_diffusion, make_schedule
from names import PREDICTIONS, SCHEDULES
from training.objectives.denoising import denoising

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


PRESERVING = [name for name in SCHEDULES if name not in ("log_linear", "flow")]


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


def test_flow_schedule_is_the_straight_path():
    schedule = make_schedule("flow", 4)
    assert schedule.sigmas.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert schedule.alphas.tolist() == [0.75, 0.5, 0.25, 0.0]
    diffusion = Diffusion(schedule, "v")
    x0, eps = torch.randn(2, 4, 3)
    t = torch.arange(4)
    # The velocity of flow matching: how x changes from one timestep to the next, per unit of u.
    target = diffusion.target(x0, t, eps)
    torch.testing.assert_close(target, eps - x0)
    change = diffusion.add_noise(x0[1:], t[1:], eps[1:]) - diffusion.add_noise(
        x0[1:], t[:-1], eps[1:]
    )
    torch.testing.assert_close(change, 0.25 * target[1:])


@pytest.mark.parametrize("name", [*PRESERVING, "log_linear"])
def test_v_has_variance_one_at_every_noise_level(name):
    torch.manual_seed(0)
    schedule = make_schedule(name)
    diffusion = Diffusion(schedule, "v")
    x0, eps = torch.randn(2, 20_000, 1)
    for t in (0, 300, 500, 700, 999):
        times = torch.full((20_000,), t)
        assert diffusion.target(x0, times, eps).var().item() == pytest.approx(1, abs=0.05)
    if name in PRESERVING:  # there it is alpha eps - sigma x_0, to the last bit
        assert all(map(torch.equal, schedule.velocity, (schedule.alphas, schedule.sigmas)))


@pytest.mark.parametrize(
    ("prediction", "weighting"), [("eps", "uniform"), ("v", "min_snr"), ("x0", "min_snr")]
)
def test_what_pure_noise_makes_impossible_is_refused(prediction, weighting):
    with pytest.raises(ValueError, match=r"noise|none"):
        Diffusion(make_schedule("flow"), prediction, weighting=weighting)


def loss_of(diffusion, model, x0):
    """The loss of a batch, each example with its own timestep and noise."""
    return denoising(
        diffusion, model, x0, diffusion.draw_timesteps(len(x0)), torch.randn_like(x0)
    ).mean()


def loss_of_error(diffusion, x0, t, eps, error):
    """The loss of a network whose estimate of x_0 is off by `error`, whatever it predicts."""
    schedule = diffusion.schedule
    ratio = (schedule.alphas / schedule.sigmas)[t][:, None]
    answer = diffusion.target((x0 + error).float(), t, (eps - ratio * error).float())
    return denoising(diffusion, lambda x, t: answer, x0, t, eps).mean().item()


@pytest.mark.parametrize("name", [*PRESERVING, "log_linear"])
def test_min_snr_is_the_same_loss_for_every_prediction(name):
    """Hang et al. 2023: whatever is predicted, the error of x_0 is weighed by min(SNR, 5)."""
    schedule = make_schedule(name)
    x0, eps, t = torch.randn(400, 2), torch.randn(400, 2), torch.arange(0, 800, 2)
    alpha, sigma = schedule.alphas[t], schedule.sigmas[t]
    error = 0.3 * torch.randn(400, 2, dtype=torch.float64)  # of an estimate of x_0
    snr = (alpha / sigma) ** 2
    expected = (snr.clamp(max=5)[:, None] * error**2).mean().item()
    for prediction in PREDICTIONS:
        diffusion = Diffusion(schedule, prediction, weighting="min_snr")
        loss = loss_of_error(diffusion, x0, t, eps, error)
        assert loss == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", [*PRESERVING, "flow"])
def test_x0_by_inverse_sigma_has_the_loss_of_v(name):
    """An error of x_0 is one of v: e / sigma, see docs/MATH.md, wherever sigma^2 is not tiny."""
    schedule = make_schedule(name)
    t = torch.arange(200, 1000)
    x0, eps = torch.randn(800, 2), torch.randn(800, 2)
    error = 0.3 * torch.randn(800, 2, dtype=torch.float64)
    of_x0 = Diffusion(schedule, "x0", weighting="inverse_sigma")
    of_v = Diffusion(schedule, "v", weighting="uniform")
    expected = loss_of_error(of_v, x0, t, eps, error)
    assert loss_of_error(of_x0, x0, t, eps, error) == pytest.approx(expected, rel=2e-3)


def test_given_betas_are_used_as_they_are():
    schedule = make_schedule("linear", 10, beta_start=0.1, beta_end=0.1)
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(0.9**10)


@pytest.mark.parametrize(
    ("name", "timesteps", "options"),
    [
        ("exponential", 10, {}),
        ("linear", 0, {}),
        ("linear", 10, {"beta_start": 0.0, "beta_end": 0.1}),
        ("linear", 10, {"beta_start": 0.2, "beta_end": 0.1}),
        ("linear", 10, {"beta_start": 0.1, "beta_end": 1.0}),
        ("log_linear", 10, {"sigma_min": 0.0, "sigma_max": 1.0}),
        ("log_linear", 10, {"sigma_min": 2.0, "sigma_max": 1.0}),
    ],
)
def test_impossible_schedules_are_refused(name, timesteps, options):
    with pytest.raises(ValueError, match=r"unknown|timestep|beta|sigma"):
        make_schedule(name, timesteps, **options)


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


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("t", [0, 300, 999])
def test_estimates_undo_target(prediction, t, name):
    """A network that predicts exactly the target gives exactly x_0 and eps."""
    if (prediction, name) == ("eps", "flow"):
        pytest.skip("refused, see above")
    torch.manual_seed(0)
    diffusion = Diffusion(make_schedule(name), prediction)
    x0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    times = torch.full((5,), t)
    x, output = diffusion.add_noise(x0, times, eps), diffusion.target(x0, times, eps)
    estimates = diffusion.estimates(output, x, t)
    # The tables for training are float32, and dividing by a small alpha or sigma enlarges that.
    alpha, sigma = diffusion.schedule.at(t)
    enlarged = max(1, sigma / alpha) if prediction == "eps" else 1
    torch.testing.assert_close(estimates[0], x0, rtol=0, atol=1e-6 * enlarged)
    torch.testing.assert_close(estimates[1], eps, rtol=0, atol=2e-6 * enlarged / min(1, sigma))


def test_clipped_estimates_still_add_up_to_x():
    torch.manual_seed(0)
    schedule = make_schedule("linear")
    x = 3 * torch.randn(100, 2, dtype=torch.float64)
    x0, eps = Diffusion(schedule, value_range=(-1, 1)).estimates(torch.randn_like(x), x, 400)
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
    assert loss_of(diffusion, half_right, x0).item() == pytest.approx(0.25, abs=0.006)
    assert seen[0].min() < 10
    assert seen[0].max() > 990


@pytest.mark.parametrize(
    ("sampling", "share_below"),
    [
        ("uniform", lambda u: u),
        ("logit_normal", lambda u: torch.special.ndtr(torch.logit(u) - 1)),
    ],
)
def test_timesteps_follow_their_distribution(sampling, share_below):
    torch.manual_seed(0)
    count, total = 400_000, 50
    diffusion = Diffusion(make_schedule("linear", total), timestep_sampling=sampling)
    t = diffusion.draw_timesteps(count)
    assert t.dtype == torch.int64
    assert 0 <= t.min() <= t.max() < total
    ends = torch.linspace(0, 1, total + 1, dtype=torch.float64)
    expected = share_below(ends).diff()
    found = torch.bincount(t, minlength=total) / count
    # Four standard errors of a share.
    assert ((found - expected).abs() < 4 * (expected / count).sqrt() + 1e-6).all()


def test_unknown_timestep_sampling_is_refused():
    with pytest.raises(ValueError, match="uniform, logit_normal"):
        Diffusion(make_schedule("linear"), timestep_sampling="late")


def test_the_loss_draws_the_timesteps_that_the_process_says():
    """With the options that train.py has by default for images."""
    config = vars(parse_arguments(["--dataset", "digits"])) | {"value_range": None}
    diffusion, seen = make_diffusion(config), []

    def zero(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    torch.manual_seed(0)
    loss_of(diffusion, zero, torch.zeros(4000, 1))
    torch.manual_seed(0)
    assert torch.equal(seen[0], diffusion.draw_timesteps(4000))
    # The median of a logistic function of numbers around 1, where uniform ones have 0.5.
    assert seen[0].float().median().item() / 1000 == pytest.approx(0.731, abs=0.01)
    del config["timestep_sampling"]  # as in a run from before there was the option
    assert make_diffusion(config).timestep_sampling == "uniform"


def test_estimates_are_not_clipped_unless_that_is_asked_for():
    x, output = torch.full((1, 2), 9.0), torch.zeros(1, 2)
    schedule = make_schedule("linear")
    assert Diffusion(schedule).estimates(output, x, 10)[0].min() > 5
    assert Diffusion(schedule, value_range=(-1, 1)).estimates(output, x, 10)[0].max() == 1


def test_inverse_sigma_weights_the_squared_errors():
    """With the same draws, the loss is the mean of error / (sigma^2 + 1e-4)."""
    diffusion = Diffusion(make_schedule("linear"), "x0", weighting="inverse_sigma")
    x0 = torch.randn(500, 1, 4, 4)
    seen = []

    def zero(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    loss = loss_of(diffusion, zero, x0)
    weights = 1 / (diffusion.schedule.sigmas[seen[0]] ** 2 + 1e-4)
    expected = (weights * x0.double().square().mean((1, 2, 3))).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(ValueError, match="unknown loss weighting"):
        Diffusion(make_schedule("linear"), weighting="snr")


@pytest.mark.parametrize("name", ["linear", "log_linear"])
@pytest.mark.parametrize("t", [0, 500, 999])
def test_the_network_sees_inputs_of_variance_one(name, t):
    torch.manual_seed(0)
    diffusion = Diffusion(make_schedule(name))
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
