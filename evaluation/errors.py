"""Standard errors: how much figures vary between sets of samples from one model."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from evaluation import Figures

GROUPS = 5


def jackknife(figures: Callable[[Tensor], Mapping[str, float]], count: int) -> dict[str, float]:
    """The standard errors of figures for `count` samples, by leaving out a fifth at a time.

    ((G - 1) / G sum_g (figure without group g - their mean)^2)^(1/2) for G groups (Quenouille 1956,
    Tukey 1958). A bias that depends on the number of samples, such as that of FID, cancels.

    Args:
        figures: computes the figures for the samples with these indices, int64 (N,).
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    groups = order.tensor_split(GROUPS)
    rows = [
        figures(torch.cat([*groups[:left_out], *groups[left_out + 1 :]]))
        for left_out in range(GROUPS)
    ]
    factor = math.sqrt(GROUPS - 1)
    return {name: factor * statistics.pstdev(row[name] for row in rows) for name in rows[0]}


def of_share(share: float, count: int) -> float:
    """The standard error of a share of `count` samples, by the binomial distribution."""
    return math.sqrt(share * (1 - share) / count)


def with_errors(figures: Figures, errors: Mapping[str, float]) -> Figures:
    """The figures with their standard errors, where these are known."""
    return {
        name: figure._replace(error=errors.get(name, figure.error))
        for name, figure in figures.items()
    }
