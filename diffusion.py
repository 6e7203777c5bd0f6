"""The mathematics of diffusion: noise schedules, the forward process, what a network predicts.

A diffusion process is a table of T pairs (alpha_t, sigma_t), t = 0 ... T-1, with rising noise:

    x_t = alpha_t x_0 + sigma_t eps        eps ~ N(0, I)

Ho et al. write x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps: our alpha_t is the square root of
their cumulative product, `alphas_cumprod`. Their t = 1 ... T is our t = 0 ... T-1. Their process is
"variance preserving", alpha_t^2 + sigma_t^2 = 1; one with alpha_t = 1 is "variance exploding".

This module depends on no dataset and no network class, and reads no files. A *model* is anything
that maps (x_t, t), of shapes (B, ...) and (B,), or (1,) for one t shared by all, to a tensor shaped
like x_t. A *denoiser* is anything that maps (x_t, t), with one int t for the whole batch, to the
pair of estimates (x0, eps). Models that learn jumps also take pairs (t, s), shape (B, 2). The
reverse process, which calls denoisers, is in samplers.py.

Papers, cited by name below
    Ho et al. 2020            Denoising Diffusion Probabilistic Models, arXiv:2006.11239
    Nichol & Dhariwal 2021    Improved Denoising Diffusion Probabilistic Models, arXiv:2102.09672
    Salimans & Ho 2022        Progressive Distillation for Fast Sampling, arXiv:2202.00512
    Song et al. 2021b         Score-Based Generative Modeling through SDEs, arXiv:2011.13456
    Lipman et al. 2023        Flow Matching for Generative Modeling, arXiv:2210.02747
    Hang et al. 2023          Efficient Diffusion Training via Min-SNR ..., arXiv:2303.09556
    Esser et al. 2024         Scaling Rectified Flow Transformers ..., arXiv:2403.03206
    Permenter & Yuan 2024     Interpreting and Improving Diffusion Models ..., arXiv:2306.04848
    Li & He 2025              Back to Basics: Let Denoising Generative ..., arXiv:2511.13720
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import names
from names import LEARNED, LOSS_WEIGHTINGS, PREDICTIONS, TIMESTEP_SAMPLINGS, names_of

Model = Callable[[Tensor, Tensor], Tensor]
# Maps (x_t, t), or (x_t, t, s), to the estimates (x0, eps); see `Diffusion.denoiser`.
Denoiser = Callable[..., tuple[Tensor, Tensor]]
Factor = float | Tensor  # one for the whole batch, or (B, 1, ...)

MIN_SNR_GAMMA = 5.0
COSINE_STEPS = 1000  # timesteps of the `cosine` that `learned` starts from, for any T of its own
LOGIT_MEAN = 1.0  # favours noisier timesteps, which improves samples (docs/RESULTS.md)

# The timestep "before" t = 0: the data itself, alpha = 1 and sigma = 0. It makes the last denoising
# step like any other.
CLEAN = -1


# ------------------------------------------------------------------------------ noise schedules


class NoiseSchedule:
    """The table (alpha_t, sigma_t), kept in float64 on the CPU (MPS has no float64).

    Attributes:
        alphas, sigmas: float64 tensors of shape (T,), with sigma / alpha strictly increasing. The
            last alpha may be zero.
        velocity: the weights (a, b) of eps and -x_0 in the target of `v` prediction, a eps - b x_0.
            The default is alpha and sigma divided by sqrt(alpha^2 + sigma^2), the standard
            deviation of x for data of variance 1, so that v has variance 1 at every noise level.
    """

    def __init__(
        self, alphas: Tensor, sigmas: Tensor, velocity: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.alphas = alphas.double().cpu()
        self.sigmas = sigmas.double().cpu()
        spread = torch.hypot(self.alphas, self.sigmas)
        self.velocity = velocity or (self.alphas / spread, self.sigmas / spread)
        rises = self.noise_levels.diff() > 0
        if not bool(rises.all()):
            t = int(rises.logical_not().nonzero()[0]) + 1
            raise ValueError(
                f"the noise level sigma / alpha must rise at every timestep, but at t = {t} it does"
                " not, because no signal is left: use smaller betas or fewer timesteps"
            )

    @classmethod
    def from_betas(cls, betas: Tensor) -> NoiseSchedule:
        """Variance-preserving table from the variances beta_t of q(x_t | x_{t-1}), shape (T,).

        abar_t = prod_{s <= t} (1 - beta_s), Ho et al. 2020, equation 4. The product is a sum of
        logarithms here, which keeps 1 - abar_t accurate at small t.
        """
        log_alphas_cumprod = torch.log1p(-betas.double()).cumsum(0)
        alphas = log_alphas_cumprod.div(2).exp()
        sigmas = (-torch.expm1(log_alphas_cumprod)).sqrt()
        # The spread is 1 here; dividing by it would only add rounding errors.
        return cls(alphas, sigmas, velocity=(alphas, sigmas))

    def __len__(self) -> int:
        return len(self.alphas)

    @property
    def alphas_cumprod(self) -> Tensor:
        """abar_t of Ho et al. 2020, shape (T,)."""
        return self.alphas**2

    @property
    def noise_levels(self) -> Tensor:
        """sigma_t / alpha_t, shape (T,); infinite where alpha_t = 0."""
        return self.sigmas / self.alphas

    @property
    def half_log_snr(self) -> Tensor:
        """lambda_t = log(alpha_t / sigma_t), shape (T,)."""
        return torch.log(self.alphas / self.sigmas)

    def velocity_at(self, t: int) -> tuple[float, float]:
        """The weights (a, b) of eps and -x_0 in v, as Python floats."""
        a, b = self.velocity
        return a[t].item(), b[t].item()

    def at(self, t: int) -> tuple[float, float]:
        """(alpha_t, sigma_t) as Python floats; `CLEAN` gives (1, 0)."""
        if t == CLEAN:
            return 1.0, 0.0
        return self.alphas[t].item(), self.sigmas[t].item()


def linear_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """Evenly spaced variances (Ho et al. 2020, section 4)."""
    return torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64)


def quadratic_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """Variances whose square roots are evenly spaced."""
    return linear_betas(timesteps, math.sqrt(beta_start), math.sqrt(beta_end)) ** 2


def sigmoid_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """Variances along a logistic curve, which is flat at both ends and steep in the middle."""
    ramp = torch.linspace(-6, 6, timesteps, dtype=torch.float64).sigmoid()
    return beta_start + (beta_end - beta_start) * ramp


def cosine_betas(timesteps: int, offset: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Variances for which abar_t falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17)."""
    u = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    f = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=max_beta)


def schedule_of_betas(
    betas: Callable[[int, float, float], Tensor],
    timesteps: int,
    beta_start: float | None = None,
    beta_end: float | None = None,
) -> NoiseSchedule:
    """The schedule with variances from `beta_start` to `beta_end`, by one of the functions above.

    The defaults are the 1e-4 and 0.02 of Ho et al. 2020, which are meant for T = 1000. For another
    T they are multiplied by 1000 / T (and kept below 1), so that the process still ends in noise:
    with T = 100 and unscaled defaults, x_99 would be 60 % data. Values given by the caller are not
    scaled.

    Raises:
        ValueError: unless 0 < beta_start <= beta_end < 1.
    """
    end = min(names.BETA_END * 1000 / timesteps, 0.999) if beta_end is None else beta_end
    start = min(names.BETA_START * 1000 / timesteps, end) if beta_start is None else beta_start
    if not 0 < start <= end < 1:
        raise ValueError(f"betas must satisfy 0 < beta_start <= beta_end < 1: {start:g}, {end:g}")
    return NoiseSchedule.from_betas(betas(timesteps, start, end))


def cosine_schedule(timesteps: int) -> NoiseSchedule:
    """The variances of `cosine_betas`."""
    return NoiseSchedule.from_betas(cosine_betas(timesteps))


def log_linear_sigmas(timesteps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels with evenly spaced logarithms (Permenter & Yuan 2024, section 5)."""
    low, high = math.log(sigma_min), math.log(sigma_max)
    return torch.linspace(low, high, timesteps, dtype=torch.float64).exp()


def log_linear_schedule(
    timesteps: int, sigma_min: float | None = None, sigma_max: float | None = None
) -> NoiseSchedule:
    """Variance exploding: alpha = 1, and sigma from `sigma_min` (0.002) to `sigma_max` (10).

    Both are in units of the data's standard deviation.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max.
    """
    low = names.SIGMA_MIN if sigma_min is None else sigma_min
    high = names.SIGMA_MAX if sigma_max is None else sigma_max
    if not 0 < low < high:
        raise ValueError(f"sigmas must satisfy 0 < sigma_min < sigma_max: {low:g}, {high:g}")
    sigmas = log_linear_sigmas(timesteps, low, high)
    return NoiseSchedule(torch.ones_like(sigmas), sigmas)


def flow_schedule(timesteps: int) -> NoiseSchedule:
    """The straight path of rectified flow, alpha = 1 - u and sigma = u, for u from 1 / T to 1.

    Lipman et al. 2023, equation 22 (with sigma_min = 0, and time running from data to noise). Its
    v is what flow matching learns, the velocity dx/du = eps - x_0.
    """
    u = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps
    ones = torch.ones_like(u)
    return NoiseSchedule(1 - u, u, velocity=(ones, ones))


def learned_schedule(timesteps: int, density: Sequence[float] | None = None) -> NoiseSchedule:
    """The noise levels of `cosine`, with as many timesteps at each as training finds useful
    (training/learned_schedule.py).

    Args:
        density: the relative density of timesteps in each of the `parts_of_cosine`, in any unit;
            None for the density of `cosine` itself. The first and last noise levels are those of
            `cosine` with 1000 timesteps.

    Raises:
        ValueError: the density is not positive everywhere.
    """
    times = learned_times(timesteps, [1.0] if density is None else density)
    half_log_snr = torch.from_numpy(half_log_snr_of_cosine(times))
    alphas, sigmas = (2 * half_log_snr).sigmoid().sqrt(), (-2 * half_log_snr).sigmoid().sqrt()
    return NoiseSchedule(alphas, sigmas, velocity=(alphas, sigmas))


def learned_times(timesteps: int, density: Sequence[float]) -> np.ndarray:
    """The time in `cosine`, from 0 to 1, of each timestep of `learned_schedule`, float64 (T,)."""
    if not min(density) > 0:
        raise ValueError("the density of timesteps must be positive everywhere")
    ends = parts_of_cosine(len(density))
    share = np.cumsum([0.0, *(density * np.diff(ends))])
    return np.interp(np.linspace(0, share[-1], timesteps), share, ends)


@cache
def parts_of_cosine(count: int) -> np.ndarray:
    """The ends of `count` parts of `cosine`, as times from 0 to 1, float64 (count + 1,).

    They are evenly spaced in the mean of time and log(alpha / sigma). In time alone, the lowest
    noise levels, where thin drawings have their detail, would get hardly any part.
    """
    times = np.linspace(0, 1, COSINE_STEPS)
    half_log_snr = half_log_snr_of_cosine(times).clip(min=-3)  # below that there is only noise
    depth = (half_log_snr[0] - half_log_snr) / (half_log_snr[0] - half_log_snr[-1])
    return np.interp(np.linspace(0, 1, count + 1), (times + depth) / 2, times)


def half_log_snr_of_cosine(times: np.ndarray) -> np.ndarray:
    """log(alpha / sigma) of `cosine` at times from 0, its first timestep, to 1, its last."""
    return np.interp(times, np.linspace(0, 1, COSINE_STEPS), fine_cosine())


@cache
def fine_cosine() -> np.ndarray:
    return cosine_schedule(COSINE_STEPS).half_log_snr.numpy()


# The function that makes each schedule; names.py lists the options it takes.
SCHEDULES: dict[str, Callable[..., NoiseSchedule]] = {
    "linear": partial(schedule_of_betas, linear_betas),
    "quadratic": partial(schedule_of_betas, quadratic_betas),
    "sigmoid": partial(schedule_of_betas, sigmoid_betas),
    "cosine": cosine_schedule,
    "log_linear": log_linear_schedule,
    "flow": flow_schedule,
    LEARNED: learned_schedule,
}


def make_schedule(name: str, timesteps: int = 1000, **options: float | None) -> NoiseSchedule:
    """The noise schedule of that name, with T = `timesteps` entries.

    All are variance preserving except `log_linear` (alpha = 1) and `flow` (alpha = 1 - sigma).

    Args:
        options: those of its function above, such as `beta_start`; None for the default.

    Raises:
        ValueError: the name is unknown, there are no timesteps, or an option is out of range.
    """
    if timesteps < 1:
        raise ValueError(f"a schedule needs at least one timestep, not {timesteps}")
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return SCHEDULES[name](timesteps, **options)


# ------------------------------------------------------- forward process, and what is predicted


def check_pure_noise(schedule: NoiseSchedule, prediction: str, weighting: str) -> None:
    """Refuse settings that cannot learn from a timestep at which x_t is pure noise (alpha = 0).

    Raises:
        ValueError: the schedule has such a timestep, with eps prediction or min_snr weights.
    """
    if schedule.alphas[-1] > 0:
        return
    if prediction == "eps":
        raise ValueError("at the last timestep x is pure noise, so eps = x says nothing about x0")
    if weighting == "min_snr":
        raise ValueError("min_snr weights by the signal, and the last timestep has none")


def loss_weights(schedule: NoiseSchedule, prediction: str, weighting: str) -> Tensor:
    """The weight of the squared error of the prediction at each timestep, float64 (T,).

    `uniform` is 1. `inverse_sigma` is 1 / (sigma^2 + 1e-4), which turns the squared error of x_0
    into that of v, as in Li & He 2025 (docs/MATH.md, section 3). `min_snr` weights the squared
    error of x_0 by min(SNR, 5) (Hang et al. 2023, section 3.4), so that no timestep dominates.

    Raises:
        ValueError: the weighting is unknown.
    """
    alphas, sigmas = schedule.alphas, schedule.sigmas
    if weighting == "uniform":
        return torch.ones_like(sigmas)
    if weighting == "inverse_sigma":
        return 1 / (sigmas**2 + 1e-4)
    if weighting != "min_snr":
        known = ", ".join(LOSS_WEIGHTINGS)
        raise ValueError(f"unknown loss weighting {weighting!r}; known: {known}")
    snr = (alphas / sigmas) ** 2
    return snr.clamp(max=MIN_SNR_GAMMA) * error_of_x0(schedule, prediction)


def error_of_x0(schedule: NoiseSchedule, prediction: str) -> Tensor:
    """The squared error of x_0 as a multiple of that of the prediction, float64 (T,)."""
    alphas, sigmas, (a, b) = schedule.alphas, schedule.sigmas, schedule.velocity
    return {
        "x0": torch.ones_like(alphas),
        "eps": (sigmas / alphas) ** 2,
        "v": (sigmas / (a * alphas + b * sigmas)) ** 2,
    }[prediction]


class Diffusion:
    """A noise schedule, and the quantity that the network predicts.

    Args:
        schedule: the table (alpha_t, sigma_t).
        prediction: what the network is trained to output: the noise `eps` (Ho et al. 2020), the
            data `x0`, or the velocity `v` = alpha_t eps - sigma_t x_0 (Salimans & Ho 2022; see
            `NoiseSchedule.velocity`), which is eps - x_0 with the `flow` schedule.
        value_range: the range to which estimates of x_0 are clamped: (-1, 1) for images; None for
            data that are not bounded.
        device: the device of the tables for training.
        weighting: that of the squared errors, see `loss_weights`.
        timestep_sampling: how timesteps are drawn for training, see `draw_timesteps`.

    Raises:
        ValueError: a name is unknown, or a combination cannot work (the message says why).
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        prediction: str = "eps",
        value_range: tuple[float, float] | None = None,
        device: torch.device | str = "cpu",
        weighting: str = "uniform",
        timestep_sampling: str = "uniform",
    ) -> None:
        if prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {prediction!r}; known: {', '.join(PREDICTIONS)}")
        if timestep_sampling not in TIMESTEP_SAMPLINGS:
            known = ", ".join(TIMESTEP_SAMPLINGS)
            raise ValueError(f"unknown timestep sampling {timestep_sampling!r}; known: {known}")
        check_pure_noise(schedule, prediction, weighting)
        self.schedule = schedule
        self.prediction, self.weighting = prediction, weighting
        self.value_range = value_range
        self.timestep_sampling = timestep_sampling
        tables = (table.float().to(device) for table in self.tables())
        self.alphas, self.sigmas, *self.velocity, self.weights = tables

    def tables(self) -> tuple[Tensor, ...]:
        """The tables for training: alpha, sigma, both weights of v, loss weight; float64 (T,)."""
        schedule = self.schedule
        weights = loss_weights(schedule, self.prediction, self.weighting)
        return schedule.alphas, schedule.sigmas, *schedule.velocity, weights

    def follow(self, schedule: NoiseSchedule) -> None:
        """Switch to another schedule with the same number of timesteps. The tables are updated in
        place, since compiled steps hold references to them."""
        self.schedule = schedule
        held = (self.alphas, self.sigmas, *self.velocity, self.weights)
        for table, new in zip(held, self.tables(), strict=True):
            table.copy_(new.float())  # some devices have no float64

    @property
    def device(self) -> torch.device:
        """The device of the tables for training."""
        return self.alphas.device

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t for t of shape (B,), shaped (B, 1, ...) to multiply `like`."""
        return self.rows(self.alphas, t, like), self.rows(self.sigmas, t, like)

    def rows(self, table: Tensor, t: Tensor, like: Tensor) -> Tensor:
        """The entries t (B,) of a table (T,), shaped (B, 1, ...) to multiply `like`."""
        return table[t].view((-1,) + (1,) * (like.dim() - 1))

    def add_noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Draw from q(x_t | x_0), Ho et al. 2020, equation 4: x0, eps (B, ...) and t (B,)."""
        alpha, sigma = self.coefficients(t, x0)
        return alpha * x0 + sigma * eps

    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """The target of the network at x_t = alpha_t x_0 + sigma_t eps."""
        if self.prediction == "eps":
            return eps
        if self.prediction == "x0":
            return x0
        a, b = (self.rows(table, t, x0) for table in self.velocity)
        return a * eps - b * x0

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Random timesteps 0 ... T-1 to train on, int64 (count,), on the device of the tables.

        `uniform` draws all with equal probability (Ho et al. 2020, algorithm 1). `logit_normal`
        applies the logistic function to a normal number with mean 1 and variance 1 (Esser et al.
        2024, section 3.1). It draws few timesteps near either end: at one there is hardly any noise
        to remove, at the other hardly any signal to see.
        """
        timesteps, device = len(self.schedule), self.device
        if self.timestep_sampling == "uniform":
            return torch.randint(timesteps, (count,), generator=generator, device=device)
        normal = torch.randn(count, generator=generator, device=device)
        share = (LOGIT_MEAN + normal).sigmoid()
        return (timesteps * share).long().clamp(max=timesteps - 1)  # a share can round to 1

    def run_model(self, model: Model, x: Tensor, t: Tensor, s: Tensor | None = None) -> Tensor:
        """The network's output at x_t. Its input is x_t / sqrt(alpha_t^2 + sigma_t^2), which has
        variance about 1 at every t and is x_t itself if the process is variance preserving.

        Args:
            s: the timestep to jump to, (B,) like t; only for a network that learned jumps.
        """
        alpha, sigma = self.coefficients(t, x)
        times = t if s is None else torch.stack([t, s], dim=1)
        return model(x * torch.rsqrt(alpha**2 + sigma**2), times)

    def starting_noise(self, noise: Tensor, t: int | None = None) -> Tensor:
        """Normal noise scaled to the standard deviation of x_t for data of variance 1.

        If the process is variance preserving, that is the noise itself.

        Args:
            t: the timestep at which sampling starts; None for the last one.
        """
        return math.hypot(*self.schedule.at(len(self.schedule) - 1 if t is None else t)) * noise

    def estimates(self, output: Tensor, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """The estimates (x0, eps) that follow from a network's `output` at (x, t).

        After x0 is clamped, eps is solved from x = alpha_t x0 + sigma_t eps, so that the two always
        add up to x. (With it the step of `ddpm` is equation 7 of Ho et al. 2020.)
        """
        alpha, sigma = self.schedule.at(t)
        x0 = self.solve_for_x0(output, x, alpha, sigma, *self.schedule.velocity_at(t))
        if self.value_range is not None:
            x0 = x0.clamp(*self.value_range)
        return x0, (x - alpha * x0) / sigma

    def estimate_x0(self, model: Model, x: Tensor, t: Tensor, s: Tensor | None = None) -> Tensor:
        """The network's estimate of x_0 at x_t for t (B,), not clamped, for use in objectives."""
        output = self.run_model(model, x, t, s)
        tables = (self.alphas, self.sigmas, *self.velocity)
        alpha, sigma, a, b = (self.rows(table, t, x) for table in tables)
        return self.solve_for_x0(output, x, alpha, sigma, a, b)

    def estimate_eps(self, x: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """The noise in x_t (B, ...) if the data are x0 (B, ...), for t (B,)."""
        alpha, sigma = self.coefficients(t, x)
        return (x - alpha * x0) / sigma

    def solve_for_x0(
        self, output: Tensor, x: Tensor, alpha: Factor, sigma: Factor, a: Factor, b: Factor
    ) -> Tensor:
        """The x_0 that follows from a network's output at x; (a, b) are those of `velocity`."""
        if self.prediction == "eps":
            return (x - sigma * output) / alpha
        if self.prediction == "x0":
            return output
        # Solve v = a eps - b x0 and x = alpha x0 + sigma eps for x0.
        return (a * x - sigma * output) / (a * alpha + b * sigma)

    def denoiser(self, model: Model) -> Denoiser:
        """Wrap a network as the `denoise(x, t) -> (x0, eps)` that samplers call.

        For a network that learned jumps, `denoise(x, t, s)` returns the x0 and eps that make up x_s
        (`samplers.shortcut`).
        """

        @torch.no_grad()
        def denoise(x: Tensor, t: int, s: int | None = None) -> tuple[Tensor, Tensor]:
            times = torch.tensor([t] if s is None else [t, s], device=x.device).split(1)
            # A copy: the next replay of a CUDA graph overwrites its outputs, and with x0 prediction
            # the output is the estimate, which second-order samplers keep for the next step.
            output = self.run_model(model, x, *times).clone()
            return self.estimates(output, x, t)

        return denoise


def make_diffusion(config: Mapping[str, Any], device: torch.device | str = "cpu") -> Diffusion:
    """The process that a run's configuration (its config.json) describes."""
    limits = config["value_range"]
    return Diffusion(
        schedule_of(config),
        config["prediction"],
        value_range=None if limits is None else tuple(limits),
        device=device,
        weighting=config["loss_weighting"],
        timestep_sampling=config.get("timestep_sampling", "uniform"),
    )


def schedule_of(config: Mapping[str, Any]) -> NoiseSchedule:
    """The noise schedule that a run's configuration describes."""
    name = config["schedule"]
    options = {option: config[option] for option in names_of(names.SCHEDULES[name].options)}
    if name == LEARNED:
        options["density"] = config.get("timestep_density")
    return make_schedule(name, config["timesteps"], **options)
