"""Consistency: a trained network is tuned to jump from any x_t to where its path ends.

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

# Noise levels are sigma / alpha, in which one path is a straight line.
# The stages of a run, all equally long; in each r is nearer to t. Stage 0 of the paper is left out:
# it teaches little that the network does not know.
FIRST_STAGE, LAST_STAGE = 1, 5
LOG_MEAN, LOG_SPREAD = 0.0, 1.5  # of the logarithms of the levels that are learned from
AT_THE_FIRST = 1 / 16  # share of the examples at the noisiest level, where sampling begins
LEAST_NOISE = 2.0  # of a process whose end can pass for pure noise
FLOOR = 0.2  # what a weight adds to t - r, lest small levels have all of the weight
# An estimate of x0 that the network answers itself knows nothing of D(x, 0) = x. Without data (or
# the teacher's estimate of them) as the target at small levels it can become a constant, which
# agrees with itself.
DATA_BELOW = 0.15
HUBER = 0.2  # the length at which `pseudo_huber` turns from a square into an absolute value


def consistency(
    diffusion: Diffusion,
    model: Model,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    stages: Stages,
    teacher: Model | None = None,
) -> Tensor:
    """The loss w |D(x_t, t) - D(x_r, r)| of each example, with D the network's estimate of x_0.

    Both are on one path, x_t = alpha_t x_0 + sigma_t eps and r less noisy. So D learns to answer
    the same along the path, and at its end, r = CLEAN, the data themselves (Geng et al.
    2024). Gradients flow through D(x_t, t) alone.

    With a teacher the path is the one that it would take from x_t, by one step of `ddim`
    (consistency distillation, Song et al. 2023, algorithm 2). That of the data is the same on
    average over all data that x_t could come from, and so has a far noisier target.

    Args:
        x0: data as the network sees them (B, ...).
        t: timesteps, int64 (B,), as `Stages.draw_timesteps` draws them.
        eps: normal noise, of the shape of x0.
        stages: which r goes with which t.
        teacher: the network before tuning, maybe guided; None for the path of the data.
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
    """(sqrt(|d|^2 + c^2) - c) / sqrt(D) of each example, (B,) of differences (B, ...) in D numbers.

    That of Song & Dhariwal 2023, and the root of D so that losses are of one size whatever the
    data are. Far from zero it grows like the length, so that the few examples whose targets are
    far off do not drown the others.
    """
    squares = difference.flatten(1).square()
    offset = HUBER / math.sqrt(squares.shape[1])
    return (squares.mean(dim=1) + offset**2).sqrt() - offset


def earlier_levels(levels: Tensor, stage: int) -> Tensor:
    """The level r that is compared with each level t in a stage, from 0 on; 0 is the data.

    r / t = 1 - (1 + 8 sigmoid(-t)) / 2^(stage + 1), and not below 0 (Geng et al. 2024, with q = 2,
    k = 8 and b = 1 in their mapping function).
    """
    return levels * (1 - (1 + 8 * torch.sigmoid(-levels)) / 2 ** (stage + 1)).clamp(min=0)


class Stages:
    """Which t are learned from, and with which r each is compared, in the stages of a run.

    Levels that no timestep has are replaced by the nearest that one has.

    Attributes:
        stage: the current one, from `FIRST_STAGE` to `LAST_STAGE`.
        earlier: r of each t, int64 (T,), `CLEAN` for the data; it changes with the stage.
        weights: of each t, 1 / (t - r + `FLOOR`) in noise levels, float32 (T,).
        distance: of the two answers, from differences (B, ...), of each example or element.

    Raises:
        InputError: the schedule has no levels between data and noise to learn from.
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
                "--consistency: one step from noise needs a schedule whose sigma / alpha comes to"
                f" {LEAST_NOISE:g} or more, in steps, the first below {MOST_NOISE:g}; it goes from"
                f" {schedule.noise_levels[0].item():.3g} to {schedule.noise_levels[-1].item():.3g}"
            )
        middles = (self.levels[1:] + self.levels[:-1]) / 2
        self.middles, self.middles_there = middles, middles.float().to(self.device)
        # v and eps leave the data in x as they are where there is no noise.
        self.data_below = DATA_BELOW if diffusion.prediction == "x0" else 0.0
        self.earlier = torch.full((len(schedule),), CLEAN, device=self.device)
        self.weights = torch.zeros(len(schedule), device=self.device)
        self.begin(FIRST_STAGE)

    def advance(self, progress: float) -> None:
        """Go to the stage of this share of the run, from 0 to 1."""
        count = LAST_STAGE + 1 - FIRST_STAGE
        stage = FIRST_STAGE + min(max(0, int(progress * count)), count - 1)
        if stage != self.stage:
            self.begin(stage)

    def begin(self, stage: int) -> None:
        """Fill the tables for a stage; in place, since a compiled loss holds on to them."""
        self.stage = stage
        wanted, every = earlier_levels(self.levels, stage), torch.arange(len(self.levels))
        earlier = torch.bucketize(wanted, self.middles).minimum(every - 1)
        earlier[wanted < max(self.data_below, self.levels[0].item() / 2)] = CLEAN
        levels = torch.cat([self.levels, torch.zeros(1)])  # whose last is that of CLEAN
        weights = 1 / (self.levels - levels[earlier] + FLOOR)
        self.earlier[: len(every)] = earlier.to(self.device)
        self.weights[: len(every)] = weights.float().to(self.device)

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Random timesteps, int64 (count,): log(sigma / alpha) is normal, for all but a share at
        the noisiest, which one-step sampling depends on."""
        normal = torch.randn(count, generator=generator, device=self.device)
        share = torch.rand(count, generator=generator, device=self.device)
        levels = (LOG_MEAN + LOG_SPREAD * normal).exp()
        timesteps = torch.bucketize(levels, self.middles_there)
        return torch.where(share < AT_THE_FIRST, self.first, timesteps)
