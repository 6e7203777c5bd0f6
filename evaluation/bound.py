"""The bits that images cost under a model: the variational bound, and the cost of each step.

Ho et al. 2020            Denoising Diffusion Probabilistic Models, arXiv:2006.11239
Kingma et al. 2021        Variational Diffusion Models, arXiv:2107.00630
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import plots.bound
from diffusion import Diffusion, Model, NoiseSchedule
from evaluation import Figure, Figures
from guidance import Conditioned, Network

MOST_PARTS = 24  # into which the noise levels are divided
AT_ONCE = 100  # images in a batch for the network
DRAWS = 400  # random draws of an image, a timestep and noise for each part
MOST_NOISE = 100.0  # sigma / alpha above which steps cost next to nothing
HALF_LEVEL = 1 / 255  # half the distance between two grey levels, which range from -1 to 1


class Bound(NamedTuple):
    """The cost of each part of the way from noise to images, in bits per dimension.

    A part goes from one timestep in `ends` to the one before it. Sampling may end at any of them
    except the last; pixels are then drawn around the estimated image.

    Attributes:
        ends: timesteps, int64 (P + 1,), including the first and the last of the process.
        steps: the cost of the denoising steps of each part, (P,).
        pixels: the cost of the pixels if sampling ends after that part, (P,).
        noise: the cost of x at the last timestep, where sampling begins with pure noise.
    """

    ends: Tensor
    steps: Tensor
    pixels: Tensor
    noise: float

    @property
    def totals(self) -> Tensor:
        """The bound for each end, (P,)."""
        return self.noise + self.steps.flip(0).cumsum(0).flip(0) + self.pixels


def variational_bound(
    diffusion: Diffusion, network: Network, x0: Tensor, labels: Tensor | None, seed: int = 0
) -> Bound:
    """The mean bound on -log2 p(x0) per dimension, over images (Ho et al. 2020, equation 5).

    The model is ancestral sampling (`ddpm`). The cost of a step is a squared error of the estimated
    image (`cost_of_steps`); the cost at the end is that of the pixels given the last estimate
    (`cost_of_pixels`). All are means over random draws.

    Args:
        x0: images in the units of the network, with integer grey levels, (N, ...), on the CPU.
        labels: their classes, int64 (N,); None for a network without labels.
        seed: for drawing images, timesteps and noise.
    """
    generator, bit = torch.Generator().manual_seed(seed), x0[0].numel() * math.log(2)

    def draw(first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Timesteps (DRAWS,) from `first` on, images, and the errors of their estimates."""
        # Each draw is from its own equal stretch of the timesteps, which reduces the variance.
        stretches = (torch.arange(DRAWS) + torch.rand(DRAWS, generator=generator)) / DRAWS
        t = first + (count * stretches).long()
        chosen = torch.randint(len(x0), (DRAWS,), generator=generator)
        images, noise = x0[chosen], torch.randn(DRAWS, *x0.shape[1:], generator=generator)
        estimates = []
        for part in torch.arange(DRAWS).split(AT_ONCE):
            known = None if labels is None else labels[chosen[part]].to(diffusion.device)
            batch = (images[part], t[part], noise[part])
            estimates.append(estimate(diffusion, Conditioned(network, known), *batch))
        return t, images, images - torch.cat(estimates)

    ends = parts_of(diffusion.schedule)
    steps, pixels = [], []
    for before, end in pairwise(ends):
        t, _, away = draw(before + 1, end - before)
        steps.append((end - before) * cost_of_steps(diffusion.schedule, t, away) / bit)
        _, images, away = draw(before, 1)
        pixels.append(cost_of_pixels(images, away) / bit)
    noise = cost_of_noise(diffusion.schedule, x0) / bit
    return Bound(torch.tensor(ends), torch.tensor(steps), torch.tensor(pixels), noise)


def bound_figures(
    diffusion: Diffusion, network: Network, x0: Tensor, labels: Tensor | None, picture: Path
) -> Figures:
    """The lowest bound over all ends, with a picture of its parts; for arguments see above."""
    bound = variational_bound(diffusion, network, x0, labels)
    levels = diffusion.schedule.noise_levels[bound.ends].clamp(max=MOST_NOISE).tolist()
    totals = bound.totals.tolist()
    at = bound.ends[bound.totals.argmin()].item()
    title = f"Bits per dimension of unseen images; lowest if sampling ends at t = {at}"
    plots.bound.save_bound(levels, bound.steps.tolist(), totals, picture, title)
    return {"bits per dimension of unseen images, at most": Figure(min(totals), math.nan)}


def parts_of(schedule: NoiseSchedule) -> list[int]:
    """Timesteps from first to last, spaced as evenly in log(alpha / sigma) as the table allows."""
    levels = -schedule.half_log_snr.clamp(min=-math.log(MOST_NOISE))
    wanted = torch.linspace(
        levels[0].item(), levels[-1].item(), MOST_PARTS + 1, dtype=torch.float64
    )
    found = torch.searchsorted(levels, wanted[1:-1]).tolist()
    return sorted({0, *found, len(schedule) - 1})


@torch.no_grad()
def estimate(diffusion: Diffusion, model: Model, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The network's estimate of x_0, clipped as in sampling: float64 (B, ...), on the CPU."""
    x0, t, noise = (one.to(diffusion.device) for one in (x0, t, noise))
    found = diffusion.estimate_x0(model, diffusion.add_noise(x0, t, noise), t).cpu().double()
    return found if diffusion.value_range is None else found.clamp(*diffusion.value_range)


def cost_of_steps(schedule: NoiseSchedule, t: Tensor, away: Tensor) -> float:
    """The mean cost of the steps from t to t - 1, in nats.

    (SNR(t - 1) - SNR(t)) / 2 |x_0 - estimate|^2, the divergence of the posterior from the model's
    step; both are normal with the same variance (Kingma et al. 2021, section 4).

    Args:
        t: timesteps (N,), at least 1.
        away: x_0 - estimate, (N, ...).
    """
    snr = schedule.noise_levels**-2
    return ((snr[t - 1] - snr[t]) / 2 * away.square().flatten(1).sum(1)).mean().item()


def cost_of_pixels(x0: Tensor, away: Tensor) -> float:
    """The mean of -log p(x_0 | x_t) where sampling ends, in nats, over images (N, ...).

    p is the share of a normal distribution around the estimate that rounds to each pixel's grey
    level (Ho et al. 2020, equation 13). Its width is the root mean square error of the estimates.
    """
    width = away.square().mean().sqrt().clamp(min=HALF_LEVEL / 10)
    low, high = ((away + side) / width for side in (-HALF_LEVEL, HALF_LEVEL))
    # Black and white include everything that lies beyond them.
    low = low.masked_fill(x0 <= -1 + HALF_LEVEL, -math.inf)
    high = high.masked_fill(x0 >= 1 - HALF_LEVEL, math.inf)
    return -log_share(low, high).flatten(1).sum(1).mean().item()


def log_share(low: Tensor, high: Tensor) -> Tensor:
    """log(Phi(high) - Phi(low)) of the normal distribution, accurate even if both round to 1."""
    flip = low > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return upper + torch.log(-torch.expm1(lower - upper))


def cost_of_noise(schedule: NoiseSchedule, x0: Tensor) -> float:
    """The mean divergence of x at the last timestep from the noise with which sampling begins, in
    nats, over images."""
    alpha, sigma = schedule.at(len(schedule) - 1)
    share = sigma**2 / (alpha**2 + sigma**2)  # of sigma^2 in the variance of the starting noise
    squares = x0.double().square().flatten(1).sum(1).mean().item()
    # Each dimension costs (share - 1 - log(share)) / 2; the rest is the difference of the means.
    return (x0[0].numel() * (share - 1 - math.log(share)) + (1 - share) * squares) / 2
