"""How many bits images cost under a model: the variational bound, and which steps cost them.

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

MOST_PARTS = 24  # of the noise levels
AT_ONCE = 100  # images in the network
DRAWS = 400  # of an image, a timestep and noise, in each part
MOST_NOISE = 100.0  # sigma / alpha beyond which steps cost next to nothing
HALF_LEVEL = 1 / 255  # half of the distance between two grey levels, which lie from -1 to 1


class Bound(NamedTuple):
    """What each part of the way from noise to images costs, in bits per dimension.

    A part goes from one of `ends` to the one before. Sampling may end at any but the last of them,
    with pixels drawn around the estimated image.

    Attributes:
        ends: timesteps, int64 (P + 1,), the first and the last of all among them.
        steps: what the denoising steps cost, (P,).
        pixels: what the pixels cost where sampling ends, (P,).
        noise: what x costs at the last timestep, where sampling begins with noise of no image.
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
    """The bound on -log2 p(x0) per dimension, on average over images (Ho et al. 2020, equation 5).

    The model is ancestral sampling (`ddpm`). Each step costs a squared error of the estimated image
    (`cost_of_steps`), the end what pixels cost given the last estimate (`cost_of_pixels`). All are
    means over random draws.

    Args:
        x0: images as the network sees them, of whole grey levels, (N, ...), on the CPU.
        labels: their classes, int64 (N,); None for a network without.
        seed: of the images, timesteps and noise that are drawn.
    """
    generator, bit = torch.Generator().manual_seed(seed), x0[0].numel() * math.log(2)

    def draw(first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Timesteps from the first on (DRAWS,), images, and how far the estimates are off."""
        # Each has an equal stretch of the timesteps to itself, which makes the mean steadier.
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
    """The least bound, and a picture of what it is made of; arguments as above."""
    bound = variational_bound(diffusion, network, x0, labels)
    levels = diffusion.schedule.noise_levels[bound.ends].clamp(max=MOST_NOISE).tolist()
    totals = bound.totals.tolist()
    at = bound.ends[bound.totals.argmin()].item()
    title = f"Bits per dimension of unseen images; least where sampling ends at t = {at}"
    plots.bound.save_bound(levels, bound.steps.tolist(), totals, picture, title)
    return {"bits per dimension of unseen images, at most": Figure(min(totals), math.nan)}


def parts_of(schedule: NoiseSchedule) -> list[int]:
    """Timesteps from the first to the last, even in log(alpha / sigma) as far as there are any."""
    levels = -schedule.half_log_snr.clamp(min=-math.log(MOST_NOISE))
    wanted = torch.linspace(
        levels[0].item(), levels[-1].item(), MOST_PARTS + 1, dtype=torch.float64
    )
    found = torch.searchsorted(levels, wanted[1:-1]).tolist()
    return sorted({0, *found, len(schedule) - 1})


@torch.no_grad()
def estimate(diffusion: Diffusion, model: Model, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The network's x_0 at x_t, clipped as in sampling: float64 (B, ...), on the CPU."""
    x0, t, noise = (one.to(diffusion.device) for one in (x0, t, noise))
    found = diffusion.estimate_x0(model, diffusion.add_noise(x0, t, noise), t).cpu().double()
    return found if diffusion.value_range is None else found.clamp(*diffusion.value_range)


def cost_of_steps(schedule: NoiseSchedule, t: Tensor, away: Tensor) -> float:
    """The steps from t to t - 1, in nats, on average.

    (SNR(t - 1) - SNR(t)) / 2 |x_0 - estimate|^2, the divergence of the posterior from the model's
    step, two normal distributions of one variance (Kingma et al. 2021, section 4).

    Args:
        t: timesteps (N,), from 1 on.
        away: x_0 - estimate, (N, ...).
    """
    snr = schedule.noise_levels**-2
    return ((snr[t - 1] - snr[t]) / 2 * away.square().flatten(1).sum(1)).mean().item()


def cost_of_pixels(x0: Tensor, away: Tensor) -> float:
    """-log p(x_0 | x_t) where sampling ends, in nats, on average over images (N, ...).

    The share of a normal distribution around the estimate that rounds to each pixel's grey level
    (Ho et al. 2020, equation 13). It is as wide as the estimates are off.
    """
    width = away.square().mean().sqrt().clamp(min=HALF_LEVEL / 10)
    low, high = ((away + side) / width for side in (-HALF_LEVEL, HALF_LEVEL))
    # Black and white have all that lies beyond them.
    low = low.masked_fill(x0 <= -1 + HALF_LEVEL, -math.inf)
    high = high.masked_fill(x0 >= 1 - HALF_LEVEL, math.inf)
    return -log_share(low, high).flatten(1).sum(1).mean().item()


def log_share(low: Tensor, high: Tensor) -> Tensor:
    """log(Phi(high) - Phi(low)) of the normal distribution, also far out, where both round to 1."""
    flip = low > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return upper + torch.log(-torch.expm1(lower - upper))


def cost_of_noise(schedule: NoiseSchedule, x0: Tensor) -> float:
    """The divergence of x at the last timestep from the noise that sampling begins with, in nats,
    on average over images."""
    alpha, sigma = schedule.at(len(schedule) - 1)
    share = sigma**2 / (alpha**2 + sigma**2)  # of the noise in the variance of what it begins with
    squares = x0.double().square().flatten(1).sum(1).mean().item()
    # (share - 1 - log(share)) / 2 of each dimension, beside what the mean is off.
    return (x0[0].numel() * (share - 1 - math.log(share)) + (1 - share) * squares) / 2
