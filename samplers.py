"""The reverse process: samplers, and an exact denoiser for tests and pictures.

All samplers are generators with the same arguments: a denoiser, the starting noise x, the schedule,
a decreasing list of timesteps, and `randn_like`, the source of fresh noise for those that add any.
Each may take further options. They yield x after every step; the last x is the sample. Each step
from t to a less noisy s is a weighted sum of x0, eps and fresh noise. The weights are floats,
computed on the CPU in float64. `SAMPLERS` in names.py lists the samplers that users can choose.

Papers, cited by name below, in addition to those of diffusion.py
    Song et al. 2021          Denoising Diffusion Implicit Models, arXiv:2010.02502
    Kingma et al. 2021        Variational Diffusion Models, arXiv:2107.00630
    Karras et al. 2022        Elucidating the Design Space of Diffusion-Based ..., arXiv:2206.00364
    Lu et al. 2022            DPM-Solver++, arXiv:2211.01095
    Lugmayr et al. 2022       RePaint: Inpainting using Denoising ..., arXiv:2201.09865
    De Bortoli 2022           Convergence of Denoising Diffusion Models ..., arXiv:2208.05314
    Song et al. 2023          Consistency Models, arXiv:2303.01469
    Lin et al. 2023           Common Diffusion Noise Schedules ... Are Flawed, arXiv:2305.08891
    Frans et al. 2024         One Step Diffusion via Shortcut Models, arXiv:2410.12557
    Permenter & Yuan 2024     Interpreting and Improving Diffusion Models ..., arXiv:2306.04848
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from diffusion import CLEAN, Denoiser, NoiseSchedule
from names import SAMPLERS
from utils import distances, in_parts

RandnLike = Callable[[Tensor], Tensor]

# For `levelled_timesteps`, in units of sigma / alpha.
MOST_NOISE = 80.0  # the noise level of the first step, where at most 1 / 80 of x is data
MIDDLE = 1.0  # the centre of the other levels, where the content of an image is decided
REACH = 4.0  # with many steps the others lie within this factor of the centre
# A network that learns jumps learns none shorter than this fraction of all timesteps.
SHORTEST = 1 / 128


def trailing_timesteps(timesteps: int, steps: int) -> list[int]:
    """`steps` of the T = `timesteps` indices, evenly spaced and decreasing from T - 1.

    Lin et al. 2023, table 2, "trailing": sampling starts from pure noise, so it must visit the
    noisiest timestep.

    Raises:
        ValueError: steps is not between 1 and `timesteps`.
    """
    if not 1 <= steps <= timesteps:
        raise ValueError(
            f"{steps} denoising steps are not possible: the process has {timesteps} timesteps, "
            f"so choose from 1 to {timesteps}"
        )
    return [round(timesteps - i * timesteps / steps) - 1 for i in range(steps)]


def first_of_levels(schedule: NoiseSchedule) -> int:
    """The noisiest timestep whose sigma / alpha is at most `MOST_NOISE`; 0 if all have more."""
    return max(0, int((schedule.noise_levels <= MOST_NOISE).sum()) - 1)


def levelled_timesteps(schedule: NoiseSchedule, steps: int) -> list[int]:
    """`steps` decreasing timesteps for `consistency`, chosen by their noise level sigma / alpha.

    The first is `first_of_levels`. With two steps, the second has a level near 1. With more, the
    others are spread around 1, evenly in log(sigma / alpha): with four steps at 2, 1 and 1/2. Each
    level is replaced by that of the nearest timestep.

    Raises:
        ValueError: there are fewer timesteps than steps.
    """
    first = first_of_levels(schedule)
    if not 1 <= steps <= first + 1:
        raise ValueError(f"choose from 1 to {first + 1} steps, not {steps}")
    levels, found = schedule.noise_levels, [first]
    for i in range(1, steps):
        level = MIDDLE * REACH ** (1 - 2 * i / steps)
        nearest = int((levels.log() - math.log(level)).abs().argmin())
        found.append(min(max(nearest, steps - 1 - i), found[-1] - 1))
    return found


def timesteps_of(sampler: str, schedule: NoiseSchedule, steps: int) -> list[int]:
    """The decreasing timesteps at which a sampler evaluates the network, given its steps.

    Raises:
        ValueError: there are fewer timesteps than steps.
    """
    if SAMPLERS[sampler].by_level:
        return levelled_timesteps(schedule, steps)
    return trailing_timesteps(len(schedule), steps)


def transition(schedule: NoiseSchedule, t: int, s: int) -> tuple[float, float]:
    """(alpha_ts, sigma2_ts) of the forward step, q(x_t | x_s) = N(alpha_ts x_s, sigma2_ts I).

    Kingma et al. 2021, appendix A; s is less noisy than t.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
    alpha_ts = alpha_t / alpha_s
    return alpha_ts, sigma_t**2 - (alpha_ts * sigma_s) ** 2


def step_coefficients(
    schedule: NoiseSchedule, t: int, s: int, eta: float
) -> tuple[float, float, float]:
    """Weights of x0, eps and fresh noise in one step from t to the less noisy s.

    With sigma2_ts from `transition`, the posterior q(x_s | x_t, x_0) has the variance
    tau^2 = sigma2_ts sigma_s^2 / sigma_t^2 (Kingma et al. 2021, equations 32-34; for s = t - 1 it
    is the beta-tilde of Ho et al. 2020), and

        x_s = alpha_s x0 + sqrt(sigma_s^2 - eta^2 tau^2) eps + eta tau z

    is DDIM for eta = 0 and DDPM for eta = 1 (Song et al. 2021, equation 12). At s = CLEAN the
    last two weights are zero: no noise is added on the last step.
    """
    (_, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
    _, sigma2_ts = transition(schedule, t, s)
    noise_variance = eta**2 * sigma2_ts * sigma_s**2 / sigma_t**2
    return alpha_s, math.sqrt(sigma_s**2 - noise_variance), math.sqrt(noise_variance)


def ddim(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    eta: float = 0.0,
    randn_like: RandnLike = torch.randn_like,
    momentum: float = 1.0,
) -> Iterator[Tensor]:
    """Sample by DDIM (Song et al. 2021), yielding x after every step; the last one is the sample.

    Args:
        denoise: (x, t) -> (x0, eps), see `Diffusion.denoiser`.
        x: the starting noise, x_T, shape (B, ...).
        timesteps: decreasing indices, from `trailing_timesteps`.
        eta: share of fresh noise, from 0 (deterministic) to 1 (ancestral, like `ddpm`).
        randn_like: source of the fresh noise.
        momentum: of `accelerate`, for eta = 0; 1 is plain DDIM.
    """
    if momentum != 1:
        denoise = accelerate(denoise, schedule, momentum)
    for t, s in pairwise((*timesteps, CLEAN)):
        x0, eps = denoise(x, t)
        on_x0, on_eps, on_noise = step_coefficients(schedule, t, s, eta)
        x = on_x0 * x0 + on_eps * eps
        if on_noise > 0:
            x = x + on_noise * randn_like(x)
        yield x


def ddim_inverse(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    randn_like: RandnLike = torch.randn_like,
    looks: int = 3,
) -> Iterator[Tensor]:
    """`ddim` with eta = 0 in reverse, from data to noise (Song et al. 2021, section 4.3).

    With z = x / sqrt(alpha^2 + sigma^2) and tan phi = sigma / alpha, the step from t to the less
    noisy s is a rotation by delta = phi_t - phi_s: z_s = cos delta z_t - sin delta v, where v is
    the velocity at z_t (Salimans & Ho 2022, appendix D). Hence z_t = z_s / cos delta + tan delta v.
    This v depends on the unknown z_t, so each step evaluates the network `looks` times, each time
    at the best z_t so far. For small steps this converges quickly.

    The first step adds noise, as the forward process does. The data do not determine that noise:
    pixels that are black in all images would get none, and their encoding would not be noise.

    Args:
        x: data, shape (B, ...).
        timesteps: decreasing, those that `ddim` would visit on the way back.
        randn_like: source of the noise for the first step.
        looks: evaluations of the network for each further step.
    """
    alpha, sigma = schedule.at(timesteps[-1])
    x = alpha * x + sigma * randn_like(x)
    yield x
    v = torch.zeros_like(x)
    for s, t in pairwise(reversed(timesteps)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
        size_t, size_s = math.hypot(alpha_t, sigma_t), math.hypot(alpha_s, sigma_s)
        delta = math.atan2(sigma_t, alpha_t) - math.atan2(sigma_s, alpha_s)
        start = x / (size_s * math.cos(delta))
        for _ in range(looks):
            x0, eps = denoise(size_t * (start + math.tan(delta) * v), t)
            v = (alpha_t * eps - sigma_t * x0) / size_t
        x = size_t * (start + math.tan(delta) * v)
        yield x


def ddpm(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """Ancestral sampling with the posterior variance (Ho et al. 2020, algorithm 2).

    It draws x_s from q(x_s | x_t, x0), which is the step of `ddim` with eta = 1.
    """
    return ddim(denoise, x, schedule, timesteps, eta=1.0, randn_like=randn_like)


def heun(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """Second-order sampling by Heun's method (Karras et al. 2022, algorithm 1).

    Each step is a `ddim` step to s, a second evaluation there, and the step again with the mean of
    the two. The paper averages eps and so divides by alpha, which is zero in pure noise. This
    averages the velocity of x / sqrt(alpha^2 + sigma^2), which never divides by zero and is more
    accurate than averaging x0 (docs/MATH.md, section 5). The last step, to CLEAN, is a `ddim` step,
    so N steps take 2 N - 1 evaluations. No fresh noise is added.
    """
    for t, s in pairwise((*timesteps, CLEAN)):
        x0, eps = denoise(x, t)
        alpha_s, sigma_s = schedule.at(s)
        x = alpha_s * x0 + sigma_s * eps
        if s != CLEAN:
            x0_there, _ = denoise(x, s)
            x = x + weight_of_second_look(schedule, t, s) * (x0_there - x0)
        yield x


def weight_of_second_look(schedule: NoiseSchedule, t: int, s: int) -> float:
    """The weight with which `heun` adds the change of x0 from t to s (not CLEAN) to its step.

    See docs/MATH.md, equation 20. The angles have the tangent sigma / alpha and go from 0 (data) to
    pi / 2 (noise).
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
    angle_t, angle_s = math.atan2(sigma_t, alpha_t), math.atan2(sigma_s, alpha_s)
    return math.hypot(alpha_s, sigma_s) * math.tan((angle_t - angle_s) / 2) / math.sin(angle_s)


def dpmpp(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    eta: float = 0.0,
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """DPM-Solver++ (2M): second order with one evaluation per step (Lu et al. 2022, algorithm 2).

    It is `ddim` with x0 extrapolated from the previous step. With fresh noise it is the
    SDE-DPM-Solver++ (2M) of the same paper.

    Args:
        eta: share of fresh noise, from 0 (deterministic) to 1 (as much as `ddpm`).
        randn_like: source of the fresh noise.
    """
    ahead = extrapolate(denoise, schedule, timesteps)
    return ddim(ahead, x, schedule, timesteps, eta, randn_like)


def consistency(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """Sample with a network that jumps from any x_t to the data (Song et al. 2023, algorithm 1).

    One step is one jump, from noise to x0. Each further step adds fresh noise up to the level of
    its timestep and jumps again, which corrects errors of the previous jump. A network that was not
    tuned for this (training/objectives/consistency.py) jumps to the mean of all data that x could
    come from.

    Args:
        x: the starting noise, with the standard deviation of x at the first of the timesteps.
        timesteps: decreasing indices, from `levelled_timesteps`.
        randn_like: source of the fresh noise.
    """
    for t, s in pairwise((*timesteps, CLEAN)):
        x, _ = denoise(x, t)
        if s != CLEAN:
            alpha, sigma = schedule.at(s)
            x = alpha * x + sigma * randn_like(x)
        yield x


def shortcut(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """Sample with a network that is told where to jump (Frans et al. 2024, algorithm 2).

    It is `ddim` without fresh noise and with a different x0: not the mean of the data that x could
    come from, but the x0 with which one step ends where many small steps would. Only a network
    trained for this (training/objectives/shortcut.py) can estimate it.
    """
    following = dict(pairwise((*timesteps, CLEAN)))

    def jump(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        s = following[t]
        is_short = t - s < SHORTEST * len(schedule)
        return denoise(x, t, t if is_short else s)

    return ddim(jump, x, schedule, timesteps)


def repaint(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: list[int],
    known: Tensor,
    hole: Tensor,
    visits: int = 10,
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Tensor]:
    """Fill a hole by `ddpm`, given the rest of x (RePaint, Lugmayr et al. 2022, algorithm 1).

    After each step to s, the known part, with the noise of s, replaces the samples outside the hole
    (their equation 8a). The samples inside the hole do not fit it yet. So the state goes back to t
    and steps to s again, `visits` times in all, until the two parts agree.

    Args:
        known: x_0, with the shape of one example or of x; its values in the hole are ignored.
        hole: bool, true where x is to be filled in; its shape broadcasts to that of `known`.
        visits: how often each timestep is visited (U in the paper), with one evaluation per visit.
    """
    for t, s in pairwise((*timesteps, CLEAN)):
        alpha_s, sigma_s = schedule.at(s)
        on_x0, on_eps, on_noise = step_coefficients(schedule, t, s, eta=1.0)
        back, variance_back = transition(schedule, t, s)
        for visit in range(1 if s == CLEAN else visits):
            if visit > 0:
                x = back * x + math.sqrt(variance_back) * randn_like(x)
            x0, eps = denoise(x, t)
            made = on_x0 * x0 + on_eps * eps + on_noise * randn_like(x)
            x = torch.where(hole, made, alpha_s * known + sigma_s * randn_like(x))
        yield x


def extrapolate(denoise: Denoiser, schedule: NoiseSchedule, timesteps: list[int]) -> Denoiser:
    """A denoiser with a memory, for `dpmpp`: it extrapolates x0 to the middle of each step.

    To second order, the mean of x0 over a step is its value halfway. So x0 is extrapolated that far
    along the line through this call and the previous one, in lambda = log(alpha / sigma) (Lu et al.
    2022, algorithm 2); eps is computed from it. The first and the last step are not extrapolated.
    Make a new denoiser for every batch.

    Args:
        timesteps: all timesteps at which it will be called, in order.
    """
    half_log_snr = schedule.half_log_snr.tolist()
    following = dict(pairwise(timesteps))
    before: tuple[int, Tensor] | None = None

    def denoise_ahead(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        nonlocal before
        x0, eps = denoise(x, t)
        last, before = before, (t, x0)
        if last is None or t not in following:
            return x0, eps
        last_t, last_x0 = last
        length, last_length = (
            half_log_snr[end] - half_log_snr[begin]
            for begin, end in ((t, following[t]), (last_t, t))
        )
        ahead = x0 + 0.5 * (length / last_length) * (x0 - last_x0)
        alpha, sigma = schedule.at(t)
        return ahead, (x - alpha * ahead) / sigma

    return denoise_ahead


def accelerate(denoise: Denoiser, schedule: NoiseSchedule, momentum: float) -> Denoiser:
    """A denoiser with a memory, for `ddim` with eta = 0: Permenter & Yuan 2024, algorithm 2.

    It returns momentum * eps + (1 - momentum) * (eps of the previous call) and the matching x0. A
    momentum of 1 changes nothing; with the paper's 2, samples from few steps are closer to the
    data. Make a new denoiser for every batch.
    """
    before: Tensor | None = None

    def denoise_with_momentum(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        nonlocal before
        x0, eps = denoise(x, t)
        if before is None:
            before = eps
            return x0, eps
        mixed = momentum * eps + (1 - momentum) * before
        before = eps
        alpha, sigma = schedule.at(t)
        return (x - sigma * mixed) / alpha, mixed

    return denoise_with_momentum


def exact_denoiser(data: Tensor, schedule: NoiseSchedule) -> Denoiser:
    """The optimal denoiser for data that are exactly the points of `data` (N, D).

    Given x_t, each data point y has the weight N(x_t; alpha_t y, sigma_t^2 I), by Bayes' rule; x0
    is the weighted mean of the data (De Bortoli 2022, section 2).
    """

    def denoise(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.at(t)
        means = []
        for part in in_parts(x, len(data)):
            squared_distance = distances(part, alpha * data).square()
            weights = torch.softmax(-squared_distance / (2 * sigma**2), dim=1)
            means.append(weights @ data)
        x0 = torch.cat(means)
        return x0, (x - alpha * x0) / sigma

    return denoise


def final(states: Iterator[Tensor]) -> Tensor:
    """Run a sampler to its end and return its last state, the sample."""
    *_, sample = deque(states, maxlen=1)
    return sample
