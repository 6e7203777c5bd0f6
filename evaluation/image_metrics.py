"""Similarity of two sets of images, in the features of a classifier.

All functions take features, float tensors (N, D) and (M, D), chosen by the caller. Figures are
comparable only if the features are from the same network.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance between Gaussians with the means and covariances of `a` and `b`.

    FID, Heusel et al. 2017, equation 6: |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). It
    depends on N: fewer samples give a larger figure.
    """
    a, b = a.double(), b.double()
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    # The trace of a root is the sum of the roots of the eigenvalues. With C_a = R R^T, C_a C_b has
    # the eigenvalues of R^T C_b R, which is symmetric; rounding can make them slightly negative.
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp(min=0).sqrt()
    eigenvalues = torch.linalg.eigvalsh(root.T @ covariance_b @ root).clamp(min=0)
    means = (a.mean(0) - b.mean(0)).square().sum()
    traces = covariance_a.trace() + covariance_b.trace() - 2 * eigenvalues.sqrt().sum()
    return (means + traces).item()


def kernel_distance(a: Tensor, b: Tensor, subsets: int = 20, size: int = 1000) -> float:
    """Squared maximum mean discrepancy, kernel (x.y / D + 1)^3: KID, Binkowski et al. 2018.

    The mean of the unbiased estimate over random subsets of `size`, so it does not depend on N. For
    two samples from the same distribution it is about zero and may be negative.
    """
    generator = torch.Generator().manual_seed(0)
    size = min(size, len(a), len(b))
    estimates = []
    for _ in range(subsets):
        x, y = (
            features[torch.randperm(len(features), generator=generator)[:size]].double()
            for features in (a, b)
        )
        xx, yy, xy = (
            (left @ right.T / a.shape[1] + 1) ** 3 for left, right in ((x, x), (y, y), (x, y))
        )
        pairs = size * (size - 1)
        within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / pairs
        estimates.append(within - 2 * xy.mean())
    return torch.stack(estimates).mean().item()


def radii(features: Tensor, neighbour: int) -> Tensor:
    """The distance from each point to its `neighbour`-th nearest other point: (N,)."""
    nearest = [
        torch.cdist(part, features).kthvalue(neighbour + 1, dim=1).values
        for part in features.split(1000)
    ]
    return torch.cat(nearest)


def share_inside(points: Tensor, centres: Tensor, radius: Tensor) -> float:
    """The share of `points` that lie in any of the balls around `centres`."""
    inside = [(torch.cdist(part, centres) <= radius).any(1) for part in points.split(1000)]
    return torch.cat(inside).float().mean().item()


def precision_and_recall(real: Tensor, samples: Tensor, neighbour: int = 3) -> tuple[float, float]:
    """Precision and recall (Kynkaanniemi et al. 2019, equations 1 and 2).

    Precision is the share of samples on the manifold of the real data: a union of balls around the
    data, each of which reaches to the third nearest other point (by default). Recall is the same
    with the roles exchanged.
    """
    return (
        share_inside(samples, real, radii(real, neighbour)),
        share_inside(real, samples, radii(samples, neighbour)),
    )
