"""Shortcuts: a network that also learns jumps of any length, from scratch and in one run.

Frans et al. 2024         One Step Diffusion via Shortcut Models, arXiv:2410.12557
Guo et al. 2025           SplitMeanFlow: Interval Splitting Consistency ..., arXiv:2507.16884
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffusion import CLEAN, Diffusion, Model
from guidance import Conditioned
from samplers import SHORTEST

SHARE = 4  # one in SHARE examples learns a jump, the others to denoise
AT_THE_LAST = 1 / 16  # share of the examples at the noisiest timestep


def shortcut(diffusion: Diffusion, model: Model, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The mean of w_t |f(x_t, t, s) - target|^2 of each example; for three in four, s is t.

    The network is told to jump from t to s, and predicts the x_0 with which one step of `ddim` gets
    there. For s = t that is the ordinary estimate of x_0, learned as in `denoising`. One example in
    `SHARE` (the first, the fifth and so on) learns a jump instead: its target is the x_0 of the
    jump to which two jumps of half the length add up (Frans et al. 2024, section 3.2).

    Args:
        x0: data in the units of the network (B, ...).
        t: pairs of timesteps (t, s), int64 (B, 2), as `Jumps` draws them.
        eps: normal noise, of the shape of x0.
    """
    (t, s), some = t.unbind(1), slice(None, None, SHARE)
    x = diffusion.add_noise(x0, t, eps)
    target, to = diffusion.target(x0, t, eps).clone(), t.clone()
    to[some] = s[some]
    with torch.no_grad():
        jumper = model.rows(some) if isinstance(model, Conditioned) else model
        estimate = two_jumps(diffusion, jumper, x[some], t[some], s[some])
        noise = diffusion.estimate_eps(x[some], estimate, t[some])
        target[some] = diffusion.target(estimate, t[some], noise)
    output = diffusion.run_model(model, x, t, to)
    squared_error = (output - target).square()
    return (diffusion.rows(diffusion.weights, t, x0) * squared_error).flatten(1).mean(1)


def two_jumps(diffusion: Diffusion, model: Model, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The estimate of x_0 whose step from t to s ends where the steps from t to m to s end.

    Here m is halfway. In y = x / alpha and the noise level l = sigma / alpha, a step of `ddim` is a
    line towards x_0: y_s = x_0 + (l_s / l_t) (y_t - x_0). Two steps, towards A and then B, equal
    one step towards w B + (1 - w) A with w = (1 - l_s / l_m) / (1 - l_s / l_t).

    Args:
        x: states at t (B, ...).
        t, s: start and end of the jumps, int64 (B,), with s < t; s can be `CLEAN`, the data.
    """
    middle = (t + s + 1) // 2
    # Jumps of half the shortest length are not learned; the ordinary estimate replaces them.
    is_short = t - middle < SHORTEST * len(diffusion.schedule)
    first = diffusion.estimate_x0(model, x, t, torch.where(is_short, t, middle))
    alphas, sigmas = ends(diffusion)
    alpha_t, alpha_m, alpha_s, sigma_t, sigma_m, sigma_s = (
        diffusion.rows(table, times, x) for table in (alphas, sigmas) for times in (t, middle, s)
    )
    x = alpha_m * first + sigma_m / sigma_t * (x - alpha_t * first)
    second = diffusion.estimate_x0(model, x, middle, torch.where(is_short, middle, s))
    s_by_m = sigma_s * alpha_m / (alpha_s * sigma_m)  # l_s / l_m
    s_by_t = sigma_s * alpha_t / (alpha_s * sigma_t)
    return torch.lerp(first, second, (1 - s_by_m) / (1 - s_by_t))


def ends(diffusion: Diffusion) -> tuple[Tensor, Tensor]:
    """Alpha and sigma of all timesteps, followed by those of the data, at index -1 = CLEAN."""
    one, zero = diffusion.alphas.new_ones(1), diffusion.alphas.new_zeros(1)
    return torch.cat([diffusion.alphas, one]), torch.cat([diffusion.sigmas, zero])


class Jumps:
    """Draws the start and the end of the jumps to learn."""

    def __init__(self, diffusion: Diffusion) -> None:
        self.diffusion, self.device = diffusion, diffusion.device

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Random pairs (t, s), int64 (count, 2). t is drawn as for denoising, except for a share at
        the last timestep, where sampling begins.

        The length t - s is 1 / 2^k of all timesteps, with k uniform from -1 to 7, but at most the
        way to `CLEAN`, which is where all jumps with k below 0 end.
        """
        t = self.diffusion.draw_timesteps(count, generator)
        timesteps, kinds = len(self.diffusion.schedule), 1 - math.log2(SHORTEST)
        share, drawn = torch.rand(2, count, generator=generator, device=self.device)
        t = torch.where(share < AT_THE_LAST, timesteps - 1, t)
        lengths = (timesteps / 2 ** (kinds * drawn - 1)).ceil().long()
        return torch.stack([t, (t - lengths).clamp(min=CLEAN)], dim=1)
