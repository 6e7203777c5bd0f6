"""How samples are to be made: the settings of the reverse process, with defaults for a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from diffusion import NoiseSchedule
from names import SAMPLERS, names_of
from samplers import timesteps_of
from system.errors import InputError

LARGEST_BATCH = {"images": 256, "points": 10_000}  # by default


@dataclass(frozen=True)
class SampleSettings:
    """What decides which samples a trained network makes, and how many at a time.

    Attributes:
        count: how many samples to make.
        sampler: a name in `names.SAMPLERS`.
        steps: how many denoising steps to take, or the timesteps to visit, decreasing; None for
            the sampler's default.
        eta: share of fresh noise, 0 to 1, for samplers that take it; None for the default.
        momentum: of ddim with eta 0; None for the default.
        guidance: the scale w of guidance by labels, or by a worse network; None for no guidance.
        guidance_interval: the first and the last timestep at which to guide; None for all.
        seed: of all noise.
        batch_size: the most samples to make at a time; None for `LARGEST_BATCH`. It changes memory
            and speed, not the samples.

    Raises:
        InputError: the sampler is not known, or does not take one of the options.
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
            raise InputError("there must be at least one sample, and one step")

    @property
    def sampler_options(self) -> dict[str, float]:
        """The options of the sampler that differ from its defaults, as keywords."""
        found = {name: getattr(self, name) for name in names_of(SAMPLERS[self.sampler].options)}
        return {name: value for name, value in found.items() if value is not None}

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """The decreasing timesteps of a process to visit.

        Raises:
            InputError: more steps than the process has timesteps.
        """
        total = len(schedule)
        if isinstance(self.steps, Sequence):
            if any(s >= t for t, s in pairwise((total, *self.steps))) or min(self.steps) < 0:
                raise InputError(f"timesteps must fall, from at most {total - 1}: {self.steps}")
            return list(self.steps)
        steps = self.steps or min(SAMPLERS[self.sampler].steps or total, total)
        try:
            return timesteps_of(self.sampler, schedule, steps)
        except ValueError as error:
            raise InputError(f"--steps: {error}") from None

    def batch(self, kind: str) -> int:
        """The size of the fewest equal batches that are enough and are not too large."""
        largest = self.batch_size or LARGEST_BATCH[kind]
        return math.ceil(self.count / math.ceil(self.count / largest))
