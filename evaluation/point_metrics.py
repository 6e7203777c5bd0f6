"""Similarity of two sets of points: distances between distributions, and coverage in both
directions.

All functions take float tensors (N, D) and (M, D) in the same units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils import distances, in_parts

NEAR = 0.05  # the largest distance from the data, in units of the spread, that counts as on them


def mean_distance(a: Tensor, b: Tensor) -> float:
    """The mean of all N x M distances."""
    sums = [distances(part, b).sum(dtype=torch.float64) for part in in_parts(a, len(b))]
    return (torch.stack(sums).sum() / (len(a) * len(b))).item()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| over all pairs (Szekely & Rizzo 2013, equation 2.1).

    Pairs of a point with itself are counted, so it is never negative. Between two independent
    samples from the same distribution it is about (1/N + 1/M) E|a - a'|, which is its floor.
    """
    return 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)


def sliced_wasserstein(a: Tensor, b: Tensor, slices: int = 200, seed: int = 0) -> float:
    """Wasserstein-2 distance between projections to many lines (Bonneel et al. 2015).

    The root mean square over `slices` random directions. N and M must be equal, since the points of
    each projection are matched in order.
    """
    if len(a) != len(b):
        raise ValueError(f"sets of equal size are needed, not {len(a)} and {len(b)}")
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(a.shape[1], slices, generator=generator).to(a)
    directions = directions / directions.norm(dim=0)
    sorted_a, sorted_b = (a @ directions).sort(0).values, (b @ directions).sort(0).values
    return (sorted_a - sorted_b).square().mean().sqrt().item()


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """For each point of `a`, the distance to the nearest point of `b`: shape (N,)."""
    return nearest_of(a, b)[1]


def nearest_of(a: Tensor, b: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each point of `a`, the index of the nearest point of `b`, int64 (N,), and the distance,
    (N,).

    The distance is computed again, from differences, so that it is zero for equal points.

    Args:
        own: the index of each point of `a` in `b`, int64 (N,), to leave out.
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
    """The share of distances to the nearest point, in units of the spread, that exceed `NEAR`."""
    return (distances > NEAR).float().mean().item()
