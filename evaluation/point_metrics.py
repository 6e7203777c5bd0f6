"""How alike two sets of points are: distances between distributions, and coverage both ways.

All take float tensors (N, D) and (M, D) in the same units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils import distances, in_parts

NEAR = 0.05  # of the spread: how far a point may be from the data to count as on them


def mean_distance(a: Tensor, b: Tensor) -> float:
    """The mean of all N x M distances."""
    sums = [distances(part, b).sum(dtype=torch.float64) for part in in_parts(a, len(b))]
    return (torch.stack(sums).sum() / (len(a) * len(b))).item()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| over all pairs (Szekely & Rizzo 2013, equation 2.1).

    Pairs of a point with itself are counted, so it is never negative, and between two independent
    samples of one distribution it is about (1/N + 1/M) E|a - a'|: that is its floor.
    """
    return 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)


def sliced_wasserstein(a: Tensor, b: Tensor, slices: int = 200, seed: int = 0) -> float:
    """Wasserstein-2 distance of projections to a line, over many lines (Bonneel et al. 2015).

    The root of the mean square over `slices` random directions. N and M must be equal, since each
    projection is matched in order.
    """
    if len(a) != len(b):
        raise ValueError(f"sets of equal size are needed, not {len(a)} and {len(b)}")
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(a.shape[1], slices, generator=generator).to(a)
    directions = directions / directions.norm(dim=0)
    sorted_a, sorted_b = (a @ directions).sort(0).values, (b @ directions).sort(0).values
    return (sorted_a - sorted_b).square().mean().sqrt().item()


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """For each point of `a`, the distance to the nearest of `b`: shape (N,)."""
    return nearest_of(a, b)[1]


def nearest_of(a: Tensor, b: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each point of `a`, which of `b` is the nearest, int64 (N,), and its distance, (N,).

    That distance is taken anew, by differences, so that it is zero where the two are the same.

    Args:
        own: where each point of `a` is in `b` itself, int64 (N,), which does not count.
    """
    found, begun = [], 0
    for part in in_parts(a, len(b)):
        away = distances(part, b)
        if own is not None:
            away[torch.arange(len(part)), own[begun : begun + len(part)]] = torch.inf
        found.append(away.argmin(1))
        begun += len(part)
    closest = torch.cat(found)
    return closest, (a - b[closest]).norm(dim=1)


def share_off(distances: Tensor) -> float:
    """The share of distances to the nearest point (in units of the spread) that exceed `NEAR`."""
    return (distances > NEAR).float().mean().item()
