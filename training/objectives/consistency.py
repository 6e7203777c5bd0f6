"""Consistency: tuning a trained network to jump from any x_t to the end of its path.

Song et al. 2023          Consistency Models, arXiv:2303.01469
Song & Dhariwal 2023      Improved Techniques for Training Consistency Models, arXiv:2310.14189
Geng et al. 2024          Consistency Models Made Easy, arXiv:2406.14548
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffusion import CLEAN, Diffusion, Model
from samplers import MOST_NOISE, first_of_levels
from system.errors import InputError

# Noise levels are sigma / alpha, in which a path is a straight line.
# The stages of a run have equal lengths; in each, r is closer to t. Stage 0 of the paper is left
# out, since it teaches the network little that is new.
FIRST_STAGE, LAST_STAGE = 1, 5
LOG_MEAN, LOG_SPREAD = 0.0, 1.5  # of the logarithms of the noise levels in training
AT_THE_FIRST = 1 / 16  # share of the examples at the noisiest level, where sampling begins
LEAST_NOISE = 2.0  # the lowest noise level that can pass for pure noise at the end of a process
FLOOR = 0.2  # added to t - r in the weights, so that small levels do not dominate
# With x0 prediction, nothing enforces D(x, 0) = x. Unless the targets at small levels are the data
# (or the teacher's estimate of them), D can collapse to a constant, which is self-consistent.
DATA_BELOW = 0.15
HUBER = 0.2  # the length at which `pseudo_huber` changes from a square to an absolute value


def consistency(
    diffusion: Diffusion,
    model: Model,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    stages: Stages,
    teacher: Model | None = None,
) -> Tensor:
    """The loss w |D(x_t, t) - D(x_r, r)| of each example, where D is the network's estimate of x_0.

    Both x_t = alpha_t x_0 + sigma_t eps and the less noisy x_r are on one path. So D learns to give
    the same result along the path, and the data at its end, r = CLEAN (Geng et al. 2024). Gradients
    flow only through D(x_t, t).

    With a teacher, x_r is reached from x_t by one `ddim` step with the teacher's estimates
    (consistency distillation, Song et al. 2023, algorithm 2). The path of the data is the same on
    average over all data that x_t could come from, so its target is far noisier.

    Args:
        x0: data in the units of the network (B, ...).
        t: timesteps, int64 (B,), as `Stages.draw_timesteps` draws them.
        eps: normal noise, of the shape of x0.
        stages: the table of the r for each t.
        teacher: the network before tuning, possibly guided; None for the path of the data.
    """
    x, r = diffusion.add_noise(x0, t, eps), stages.earlier[t]
    with torch.no_grad():
        if teacher is not None:
            x0 = diffusion.estimate_x0(teacher, x, t)
            eps = diffusion.estimate_eps(x, x0, t)
        at_r = r.clamp(min=0)
        estimate = diffusion.estimate_x0(model, diffusion.add_noise(x0, at_r, eps), at_r)
        is_data = (r == CLEAN).view(-1, *[1] * (x0.dim() - 1))
        target = torch.where(is_data, x0, estimate)
    distance = stages.distance(diffusion.estimate_x0(model, x, t) - target)
    return (diffusion.rows(stages.weights, t, distance) * distance).view(len(t), -1).mean(1)


def pseudo_huber(difference: Tensor) -> Tensor:
    """(sqrt(|d|^2 + c^2) - c) / sqrt(D) of each example, (B,), for differences d of D numbers.

    The loss of Song & Dhariwal 2023, divided by the root of D so that its size does not depend on
    the data. Far from zero it grows linearly, so that a few examples with bad targets do not
    dominate the others.

    Args:
        difference: (B, ...).
    """
    squares = difference.flatten(1).square()
    offset = HUBER / math.sqrt(squares.shape[1])
    return (squares.mean(dim=1) + offset**2).sqrt() - offset


def earlier_levels(levels: Tensor, stage: int) -> Tensor:
    """The level r that is compared with each level t in a stage; level 0 is the data.

    r / t = 1 - (1 + 8 sigmoid(-t)) / 2^(stage + 1), but at least 0 (Geng et al. 2024, with q = 2,
    k = 8 and b = 1 in their mapping function).

    Args:
        stage: its number, from 0.
    """
    return levels * (1 - (1 + 8 * torch.sigmoid(-levels)) / 2 ** (stage + 1)).clamp(min=0)


class Stages:
    """The timesteps t for training, and the r with which each is compared, in each stage of a run.

    Levels that no timestep has are replaced by the nearest level of a timestep.

    Attributes:
        stage: the current stage, from `FIRST_STAGE` to `LAST_STAGE`.
        earlier: r for each t, int64 (T,), `CLEAN` for the data; it changes with the stage.
        weights: 1 / (t - r + `FLOOR`) for each t, in noise levels, float32 (T,).
        distance: maps differences (B, ...) to a distance for each example or element.

    Raises:
        InputError: the schedule has no suitable noise levels.
    """

    def __init__(
        self,
        diffusion: Diffusion,
        distance: Callable[[Tensor], Tensor] = pseudo_huber,
    ) -> None:
        self.device, self.distance = diffusion.device, distance
        schedule = diffusion.schedule
        self.first = first_of_levels(schedule)
        self.levels = schedule.noise_levels[: self.first + 1]
        if self.first == 0 or self.levels[-1] < LEAST_NOISE:
            raise InputError(
                "--consistency: one-step sampling needs a schedule with two or more timesteps whose"
                f" sigma / alpha is at most {MOST_NOISE:g}, and {LEAST_NOISE:g} or more at the"
                f" noisiest of these; it goes from {schedule.noise_levels[0].item():.3g} to"
                f" {schedule.noise_levels[-1].item():.3g}"
            )
        middles = (self.levels[1:] + self.levels[:-1]) / 2
        self.middles, self.middles_there = middles, middles.float().to(self.device)
        # With v and eps prediction, D(x, 0) = x holds by construction.
        self.data_below = DATA_BELOW if diffusion.prediction == "x0" else 0.0
        self.earlier = torch.full((len(schedule),), CLEAN, device=self.device)
        self.weights = torch.zeros(len(schedule), device=self.device)
        self.begin(FIRST_STAGE)

    def advance(self, progress: float) -> None:
        """Go to the stage for this progress of the run, from 0 to 1."""
        count = LAST_STAGE + 1 - FIRST_STAGE
        stage = FIRST_STAGE + min(max(0, int(progress * count)), count - 1)
        if stage != self.stage:
            self.begin(stage)

    def begin(self, stage: int) -> None:
        """Fill the tables for a stage, in place, since a compiled loss holds references to them."""
        self.stage = stage
        wanted, every = earlier_levels(self.levels, stage), torch.arange(len(self.levels))
        earlier = torch.bucketize(wanted, self.middles).minimum(every - 1)
        earlier[wanted < max(self.data_below, self.levels[0].item() / 2)] = CLEAN
        levels = torch.cat([self.levels, torch.zeros(1)])  # the last is that of CLEAN
        weights = 1 / (self.levels - levels[earlier] + FLOOR)
        self.earlier[: len(every)] = earlier.to(self.device)
        self.weights[: len(every)] = weights.float().to(self.device)

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Random timesteps, int64 (count,): log(sigma / alpha) is normal, except for a share at
        the noisiest level, on which one-step sampling depends."""
        normal = torch.randn(count, generator=generator, device=self.device)
        share = torch.rand(count, generator=generator, device=self.device)
        levels = (LOG_MEAN + LOG_SPREAD * normal).exp()
        timesteps = torch.bucketize(levels, self.middles_there)
        return torch.where(share < AT_THE_FIRST, self.first, timesteps)
