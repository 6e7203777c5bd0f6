"""image_metrics.py against closed forms: Gaussians, and sets whose answer is plain."""

import pytest
import torch

from evaluation.image_metrics import (
    frechet_distance,
    kernel_distance,
    precision_and_recall,
    share_inside,
)


def exactly_gaussian(count: int, mean: float, root: torch.Tensor) -> torch.Tensor:
    """Points whose sample mean and covariance are exactly `mean` and root @ root.T."""
    x = torch.randn(count, len(root), dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return mean + x @ root.T


def test_frechet_distance_of_commuting_gaussians():
    """With diagonal covariances it is |m - n|^2 + sum (sigma_i - tau_i)^2."""
    torch.manual_seed(0)
    sigma, tau = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 1.0, 0.5]).double()
    a, b = (exactly_gaussian(500, mean, scale.diag()) for mean, scale in ((1.0, sigma), (0.5, tau)))
    expected = 3 * 0.5**2 + (sigma - tau).square().sum().item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_symmetric_and_the_same_after_a_rotation():
    torch.manual_seed(1)
    a, b = torch.randn(300, 6), torch.randn(400, 6) @ torch.randn(6, 6) + 1
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    distance = frechet_distance(a, b)
    assert distance > 1
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-6)
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(distance, rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_fewer_points_than_dimensions():
    """Their covariances have no inverse. With centred A and B, the trace of (A'A B'B)^(1/2) is the
    sum of the singular values of A B'."""
    torch.manual_seed(4)
    x, y = torch.randn(30, 200), torch.randn(50, 200) * 2 + 0.1
    a, b = ((z - z.mean(0)).double() / (len(z) - 1) ** 0.5 for z in (x, y))
    expected = (x.double().mean(0) - y.double().mean(0)).square().sum()
    expected += a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-6)


def test_kernel_distance_is_zero_for_one_distribution_and_exact_for_two_points():
    torch.manual_seed(2)
    same = kernel_distance(torch.randn(3000, 16), torch.randn(3000, 16))
    other = kernel_distance(torch.randn(3000, 16), torch.randn(3000, 16) + 0.3)
    assert abs(same) < 0.01
    assert other > 0.1
    # All of a at u, all of b at w: k(u, u) + k(w, w) - 2 k(u, w), with k(x, y) = (x.y / D + 1)^3.
    u, w = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    expected = 1.5**3 + 3.0**3 - 2 * 1.0
    assert kernel_distance(u.expand(50, 2), w.expand(50, 2)) == pytest.approx(expected)


def test_precision_and_recall_see_what_is_wrong():
    """Real data: two clusters. Samples: one of them, and as many points far from both."""
    torch.manual_seed(3)
    left, right = torch.randn(1000, 2), torch.randn(1000, 2) + 50
    real = torch.cat([left, right])
    good = torch.cat([torch.randn(1000, 2), torch.randn(1000, 2) + 50])
    precision, recall = precision_and_recall(real, good)
    assert precision > 0.93
    assert recall > 0.93
    partly = torch.cat([torch.randn(1000, 2), torch.randn(1000, 2) - 500])
    precision, recall = precision_and_recall(real, partly)
    assert precision == pytest.approx(0.5, abs=0.03)
    assert recall == pytest.approx(0.5, abs=0.03)


def test_share_inside_counts_the_edge():
    centres, radius = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([1.0, 2.0])
    points = torch.tensor([[1.0, 0.0], [1.1, 0.0], [12.0, 0.0], [0.0, 5.0]])
    assert share_inside(points, centres, radius) == 0.5
