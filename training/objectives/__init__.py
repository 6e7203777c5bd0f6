"""The objectives that training minimises: one file for each, all with the same signature.

An objective maps (diffusion, model, x0, t, eps), the last three of shapes (B, ...), (B,) and
(B, ...), to the loss of each example (B,). It draws no random numbers: it can be compiled, and the
same inputs give the same loss. `consistency` takes further arguments, such as the stages of its
run; `shortcut` takes pairs of timesteps (B, 2).
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
