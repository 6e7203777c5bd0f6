"""What a network is trained to minimise: one file for each objective, all with one signature.

An objective maps (diffusion, model, x0, t, eps), the last three of shapes (B, ...), (B,) and
(B, ...), to the loss of each example (B,). It draws nothing itself: it can be compiled, and the
same numbers give the same loss. `consistency` takes one argument more, what changes in the course
of its run, and `shortcut` pairs of timesteps (B, 2).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from training.objectives.consistency import consistency
from training.objectives.denoising import denoising
from training.objectives.shortcut import shortcut

Objective = Callable[..., Tensor]

OBJECTIVES: dict[str, Objective] = {
    "denoising": denoising,
    "consistency": consistency,
    "shortcut": shortcut,
}
