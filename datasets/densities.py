"""The true densities of the sets of points for which they can be computed."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from utils import in_parts

ANGLES = 2000  # terms of the sum that replaces an integral along a half circle


def mixture(x: Tensor, centres: Tensor, spread: float) -> Tensor:
    """log of the mean of normal densities around the centres, (N, 2) and (K, 2) -> (N,)."""
    found = []
    for part in in_parts(x.double(), len(centres)):
        squares = torch.cdist(part, centres).square()
        found.append((-squares / (2 * spread**2)).logsumexp(1))
    return torch.cat(found) - math.log(2 * math.pi * spread**2 * len(centres))


def on_a_circle(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def gaussians(x: Tensor) -> Tensor:
    return mixture(x, 2 * on_a_circle(torch.arange(8.0).double() * math.pi / 4), 0.1)


def moons(x: Tensor) -> Tensor:
    """Two half circles with noise: a mixture of normal densities along them."""
    upper = on_a_circle((torch.arange(ANGLES) + 0.5).double() * math.pi / ANGLES)
    return mixture(x, torch.cat([upper, torch.tensor([1.0, 0.5]) - upper]), 0.05)


# By the name of the set: log p, in nats, of points (N, 2) in its own units.
LOG_DENSITIES: dict[str, Callable[[Tensor], Tensor]] = {"gaussians": gaussians, "moons": moons}
