"""The settings of sampling, with defaults for use in a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from diffusion import NoiseSchedule
from names import SAMPLERS, names_of
from samplers import timesteps_of
from system.errors import InputError

LARGEST_BATCH = {"images": 256, "points": 10_000}  # the defaults


@dataclass(frozen=True)
class SampleSettings:
    """The settings that determine the samples from a trained network, and the batch size.

    Attributes:
        count: the number of samples.
        sampler: a name in `names.SAMPLERS`.
        steps: the number of denoising steps, or the decreasing timesteps to visit; None for the
            sampler's default.
        eta: share of fresh noise, 0 to 1, for samplers with this option; None for the default.
        momentum: of ddim with eta 0; None for the default.
        guidance: the scale of guidance by labels, or by a worse network; None for no guidance.
        guidance_interval: the first and the last timestep with guidance; None for all timesteps.
        seed: of all noise.
        batch_size: the largest number of samples per batch; None for `LARGEST_BATCH`. It affects
            memory and speed, not the samples.

    Raises:
        InputError: the sampler is unknown, or does not have one of the options.
    """

    count: int = 64
    sampler: str = "dpmpp"
    steps: int | Sequence[int] | None = None
    eta: float | None = None
    momentum: float | None = None
    guidance: float | None = None
    guidance_interval: tuple[int, int] | None = None
    seed: int = 0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise InputError(f"no sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        for option in ("eta", "momentum"):
            given = getattr(self, option) is not None
            if given and option not in names_of(SAMPLERS[self.sampler].options):
                raise InputError(f"{option} does not apply to the sampler {self.sampler}")
        if self.momentum is not None and self.eta:
            raise InputError("momentum needs eta 0")
        if self.count < 1 or self.steps == 0:
            raise InputError("there must be at least one sample and one step")

    @property
    def sampler_options(self) -> dict[str, float]:
        """The given options of the sampler, as keywords."""
        found = {name: getattr(self, name) for name in names_of(SAMPLERS[self.sampler].options)}
        return {name: value for name, value in found.items() if value is not None}

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """The decreasing timesteps to visit in a process.

        Raises:
            InputError: there are more steps than timesteps, or the given timesteps are not valid.
        """
        total = len(schedule)
        if isinstance(self.steps, Sequence):
            if any(s >= t for t, s in pairwise((total, *self.steps))) or min(self.steps) < 0:
                raise InputError(
                    f"timesteps must decrease, from at most {total - 1} to at least 0: {self.steps}"
                )
            return list(self.steps)
        steps = self.steps or min(SAMPLERS[self.sampler].steps or total, total)
        try:
            return timesteps_of(self.sampler, schedule, steps)
        except ValueError as error:
            raise InputError(f"--steps: {error}") from None

    def batch(self, kind: str) -> int:
        """The batch size for the fewest equal batches that are not too large."""
        largest = self.batch_size or LARGEST_BATCH[kind]
        return math.ceil(self.count / math.ceil(self.count / largest))
