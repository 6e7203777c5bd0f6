"""The reverse process: samplers, and what stands in for a trained network in tests and pictures.

All samplers are generators with the same arguments: a denoiser, the starting noise x, the schedule,
a decreasing list of timesteps, and `randn_like`, the source of fresh noise for those that add any;
then come options of their own. They yield x after every step; the last is the sample. Each step
from t to a less noisy s is a weighted sum of x0, eps and fresh noise. The weights are floats,
computed on the CPU in float64. `SAMPLERS` in names.py lists those that can be asked for by name.

Papers, cited by name below, beside those of diffusion.py
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

# Of `levelled_timesteps`, in units of sigma / alpha.
MOST_NOISE = 80.0  # where the first step begins: no more than 1 / 80 of x is data
MIDDLE = 1.0  # about which the others lie: where what an image shows is decided
REACH = 4.0  # how far from it, as a factor, many of them go
# A network that learns jumps learns none that is shorter than this part of all timesteps.
SHORTEST = 1 / 128


def trailing_timesteps(timesteps: int, steps: int) -> list[int]:
    """`steps` of the T = `timesteps` indices, evenly spaced and decreasing from T - 1.

    Lin et al. 2023, table 2, "trailing": sampling starts from pure noise, so the noisiest
    timestep must be among those visited.

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
    """The noisiest timestep with sigma / alpha of at most `MOST_NOISE`; 0 if all have more."""
    return max(0, int((schedule.noise_levels <= MOST_NOISE).sum()) - 1)


def levelled_timesteps(schedule: NoiseSchedule, steps: int) -> list[int]:
    """`steps` decreasing timesteps for `consistency`, chosen by their noise level sigma / alpha.

    The first is that of `first_of_levels`. The second of two is near 1, and more than one lie about
    it, evenly in log(sigma / alpha): 2, 1 and 1/2 are the others of four. Each is the nearest
    timestep that there is.

    Raises:
        ValueError: there are not so many timesteps.
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
    """The decreasing timesteps at which that sampler evaluates the network in so many steps.

    Raises:
        ValueError: more steps than there are timesteps.
    """
    if SAMPLERS[sampler].by_level:
        return levelled_timesteps(schedule, steps)
    return trailing_timesteps(len(schedule), steps)


def transition(schedule: NoiseSchedule, t: int, s: int) -> tuple[float, float]:
    """(alpha_ts, sigma2_ts) of the step to more noise, q(x_t | x_s) = N(alpha_ts x_s, sigma2_ts I).

    Kingma et al. 2021, appendix A; s is less noisy than t.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
    alpha_ts = alpha_t / alpha_s
    return alpha_ts, sigma_t**2 - (alpha_ts * sigma_s) ** 2


def step_coefficients(
    schedule: NoiseSchedule, t: int, s: int, eta: float
) -> tuple[float, float, float]:
    """Weights of x0, eps and fresh noise in one step from t to the less noisy s.

    With sigma2_ts of `transition`, the posterior q(x_s | x_t, x_0) has the variance
    tau^2 = sigma2_ts sigma_s^2 / sigma_t^2 (Kingma et al. 2021, equations 32-34; beta-tilde of Ho
    et al. 2020 where s = t - 1), and

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
        eta: share of fresh noise, 0 (deterministic) to 1 (ancestral, as `ddpm`).
        randn_like: source of the fresh noise.
        momentum: with eta = 0, that of `accelerate`; 1 is plain DDIM.
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
    """`ddim` without noise, from the data to the noise (Song et al. 2021, section 4.3).

    With z = x / sqrt(alpha^2 + sigma^2) and tan phi = sigma / alpha the step from t to the less
    noisy s turns by delta = phi_t - phi_s: z_s = cos delta z_t - sin delta v, where v is the
    velocity at z_t (Salimans & Ho 2022, appendix D), so z_t = z_s / cos delta + tan delta v. But v
    is that at z_t, which is not known yet: the network is asked for it at the best z_t so far,
    `looks` times. Where a step is small they agree soon.

    The first step adds noise, as the forward process does. Data alone do not say which: pixels
    that are black in all images would have none, and what they are encoded as would be no noise.

    Args:
        x: data, shape (B, ...).
        timesteps: decreasing, those that `ddim` would visit on the way back.
        randn_like: source of the noise of the first step.
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

    It draws x_s from q(x_s | x_t, x0), which is the step of `ddim` at eta = 1.
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

    A `ddim` step to s, a second look from there, and the step again with the mean of both. Theirs
    averages eps, which divides by alpha, zero in pure noise; this averages the velocity of
    x / sqrt(alpha^2 + sigma^2), which divides by nothing that is ever zero and is more exact than
    the mean of x0 (docs/MATH.md, section 5). N steps take 2 N - 1 evaluations: the last step, to
    CLEAN, is `ddim`'s. It adds no fresh noise.
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
    """How much of the change of x0 from t to s, not CLEAN, `heun` adds to its step.

    docs/MATH.md, equation 20. The tangent of the angle is sigma / alpha: it goes from 0, data, to
    pi / 2, noise.
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
    """DPM-Solver++ (2M), second order at one evaluation a step (Lu et al. 2022, algorithm 2).

    It is `ddim` with x0 extrapolated from the step before; with fresh noise it is their
    SDE-DPM-Solver++ (2M).

    Args:
        eta: share of fresh noise, 0 (deterministic) to 1 (that of `ddpm`).
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
    """Sample by a network that jumps from any x_t to the data (Song et al. 2023, algorithm 1).

    One step is one jump, from noise to x0. Each further one adds fresh noise up to its timestep
    and jumps again, which mends what the jump before got wrong. A network that was not tuned for
    it (training/objectives/consistency.py) jumps to the mean of all data that x could come from.

    Args:
        x: the starting noise, with the spread of x at the first of the timesteps.
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
    """Sample by a network that is told where it jumps (Frans et al. 2024, algorithm 2).

    It is `ddim` without noise, but for the x0, which is not the mean of the data that x could come
    from but that with which one step ends where many would. Only a network that was trained for
    it (training/objectives/shortcut.py) knows that. It adds no fresh noise.
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
    """Fill holes: `ddpm`, given all the rest (RePaint, Lugmayr et al. 2022, algorithm 1).

    After each step to s, what is known, with the noise of s, replaces what the sampler made in its
    place (their equation 8a). What was made in the hole does not fit it yet. So the state goes back
    to t and steps to s again, `visits` times in all, until the two agree.

    Args:
        known: x_0, shape of one example or of x; its values in the hole do not matter.
        hole: bool, true where x is to be made; of a shape that broadcasts to that of `known`.
        visits: how often each timestep is visited (U of the paper), at one evaluation a visit.
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
    """A denoiser with a memory, for `dpmpp`: it looks ahead to the middle of each step.

    As the mean of x0 over a step is its value halfway, to second order, x0 follows the line through
    this call and the one before, in lambda = log(alpha / sigma), that far (Lu et al. 2022,
    algorithm 2); eps is the one that goes with it. The first and the last step have nothing to
    extrapolate. Make a new one for every batch.

    Args:
        timesteps: all that it will be asked for, in this order.
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

    It answers momentum * eps + (1 - momentum) * (eps of the call before) and the x0 that goes with
    it. 1 changes nothing; with the paper's 2, few steps come closer to the data. Make a new one
    for every batch.
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
    """The best denoiser there is for data that are exactly the points of `data` (N, D).

    Given x_t, each data point y has the weight N(x_t; alpha_t y, sigma_t^2 I), by Bayes' rule; x0
    is the mean of the data under these weights (De Bortoli 2022, section 2).
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
