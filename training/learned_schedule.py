"""The schedule `learned`: training determines how many timesteps each noise level gets.

Dieleman et al. 2022      Continuous Diffusion for Categorical Data, arXiv:2211.15089
Kingma et al. 2021        Variational Diffusion Models, arXiv:2107.00630
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffusion import (
    Diffusion,
    error_of_x0,
    half_log_snr_of_cosine,
    learned_schedule,
    learned_times,
    parts_of_cosine,
)
from models.embeddings import TimeEmbedding
from names import PARTS
from system.distributed import Group
from utils import decay_of_average

EVERY = 20  # training steps between updates of the schedule
EVENLY = 0.5  # share of the timesteps that stays as in `cosine`, so that no part is left out
NEAR = (1, 2, 3, 2, 1)  # weights of neighbouring parts for smoothing the slopes of errors
ENDS = parts_of_cosine(PARTS)
WIDTHS = np.diff(ENDS)


class LearnedSchedule:
    """Moves timesteps, during training, to the noise levels where most information is lost.

    Every timestep should add the same amount to what is unknown about the data (Dieleman et al.
    2022, section 3.2, "time warping"). That amount is measured by the loss: `cosine` is divided
    into `PARTS`, and the squared error in each part is averaged over about the last eighth of the
    steps so far.

    For images, the unknown is the squared error of x_0. For points it is the entropy, in which the
    detail of thin drawings counts as much as their outline; each part adds to it the squared error
    of eps times the decrease of log(alpha / sigma) (Kingma et al. 2021, section 5). For images,
    most of the entropy is in detail too fine to see.

    Args:
        diffusion: its tables are updated in place, since compiled steps refer to them.
        networks: their time embeddings, which may depend on the noise levels, are updated as well.
        config: of the run; the density is stored there as `timestep_density`.

    Attributes:
        density: of timesteps in each part, relative to that of `cosine`, float64 (PARTS,).
        path: the density after each epoch, (epochs, PARTS).
    """

    def __init__(
        self,
        diffusion: Diffusion,
        networks: Sequence[nn.Module],
        config: dict[str, Any],
        group: Group,
    ) -> None:
        self.diffusion, self.config, self.group = diffusion, config, group
        layers = [layer for network in networks for layer in network.modules()]
        self.embeddings = [layer for layer in layers if isinstance(layer, TimeEmbedding)]
        self.of_points = config["kind"] == "points"
        self.steps, timesteps = 0, len(diffusion.schedule)
        # Averages of the sum of squared errors and of the number of examples in each part.
        self.sums = torch.zeros(2, PARTS, device=diffusion.device)
        self.parts = torch.zeros(timesteps, dtype=torch.int64, device=diffusion.device)
        self.scales = torch.ones(timesteps, device=diffusion.device)
        self.density = torch.ones(PARTS, dtype=torch.float64)
        self.path = self.density.new_empty(0, PARTS)
        self.move_to(self.density)

    @torch.no_grad()
    def record(self, t: Tensor, losses: Tensor) -> None:
        """Record the losses (B,) of this process's examples at the timesteps t (B,)."""
        self.steps += 1
        errors = losses * self.scales[t]
        # A matrix product, since scattered sums are added in random order on a GPU.
        where = self.parts[t][:, None] == torch.arange(PARTS, device=t.device)
        sums = torch.stack([errors, torch.ones_like(errors)]) @ where.to(errors.dtype)
        self.sums.lerp_(self.group.mean(sums), 1 - decay_of_average(self.steps))
        if self.steps % EVERY == 0:
            self.move()

    def move(self) -> None:
        """Update the schedule from the errors so far."""
        totals, examples = self.sums.cpu().double().numpy()
        known = (examples > 0).nonzero()[0]
        errors = np.interp(np.arange(PARTS), known, totals[known] / examples[known])
        # An estimate of zero has an error of at most 1 on average, so a larger error means nothing.
        errors = errors.clip(max=1)
        slope = slope_of_entropy(errors) if self.of_points else slope_of_squares(errors)
        density = (1 - EVENLY) * slope / (slope * WIDTHS).sum() + EVENLY
        if np.isfinite(density).all():  # otherwise the run's record ends the run with a message
            self.move_to(torch.from_numpy(density))

    def move_to(self, density: Tensor) -> None:
        """Recompute all tables for this density."""
        self.density = density
        self.config["timestep_density"] = density.tolist()
        schedule = learned_schedule(len(self.parts), density.tolist())
        self.diffusion.follow(schedule)
        for embedding in self.embeddings:
            embedding.follow(schedule.half_log_snr)
        times = learned_times(len(self.parts), density.tolist())
        self.parts.copy_(torch.from_numpy(np.searchsorted(ENDS[1:-1], times, side="right")))
        wanted = error_of_x0(schedule, self.diffusion.prediction)
        if self.of_points:
            wanted = wanted / schedule.noise_levels**2  # of eps
        self.scales.copy_((wanted / self.diffusion.weights.cpu()).float())

    def end_of_epoch(self) -> None:
        self.path = torch.cat([self.path, self.density[None]])

    # ------------------------------------------------------------------- saved and restored

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, besides the number of steps."""
        return {"sums": self.sums.cpu(), "density": self.density, "path": self.path}

    def restore(self, state: dict[str, Any], steps: int) -> None:
        self.steps, self.path = steps, state["path"]
        self.sums.copy_(state["sums"])
        self.move_to(state["density"])


def slope_of_entropy(errors: np.ndarray) -> np.ndarray:
    """How fast the entropy of x_0 rises in the time of `cosine`, from squared errors of eps."""
    return -np.diff(half_log_snr_of_cosine(ENDS)) / WIDTHS * errors


def slope_of_squares(errors: np.ndarray) -> np.ndarray:
    """How fast squared errors of x_0 (PARTS,) rise in the time of `cosine`, smoothed."""
    slope = np.gradient(errors, (ENDS[1:] + ENDS[:-1]) / 2).clip(min=0)
    padded = np.pad(slope, len(NEAR) // 2, mode="edge")
    return np.convolve(padded, np.array(NEAR) / sum(NEAR), mode="valid")
