"""point_metrics.py against closed forms."""

import math

import pytest
import torch

import utils
from evaluation.point_metrics import distances, energy_distance, nearest, sliced_wasserstein


def test_distances_of_a_set_to_itself_are_zero():
    points = torch.randn(500, 2)
    assert energy_distance(points, points) == pytest.approx(0, abs=1e-5)
    assert sliced_wasserstein(points, points) == 0


def test_energy_distance_of_two_pairs_of_points():
    a, b = torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    # Between: two distances of 1 and two of sqrt 2. Within: two of 0 and two of 1.
    expected = 2 * (1 + math.sqrt(2)) / 2 - 0.5 - 0.5
    assert energy_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_energy_distance_of_equal_distributions_is_its_floor():
    torch.manual_seed(0)
    values = [energy_distance(torch.randn(1000, 1), torch.randn(1000, 1)) for _ in range(40)]
    # E|x - x'| of a standard normal is 2 / sqrt(pi).
    assert sum(values) / 40 == pytest.approx(2 / 1000 * 2 / math.sqrt(math.pi), rel=0.35)


def test_sliced_wasserstein_of_a_shift_is_the_shift_seen_from_all_sides():
    points = torch.randn(300, 2)
    shifted = points + torch.tensor([3.0, 4.0])
    # The mean square of 5 cos(angle) is 25 / 2.
    assert sliced_wasserstein(points, shifted, slices=4000) == pytest.approx(
        5 / math.sqrt(2), rel=0.03
    )
    with pytest.raises(ValueError, match="equal size"):
        sliced_wasserstein(points, points[:10])


def test_nearest():
    a, b = torch.tensor([[0.0, 0.0], [5.0, 5.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    assert nearest(a, b).tolist() == pytest.approx([5.0, 1.0])


@pytest.mark.parametrize("dimensions", [2, 128])
def test_nearest_of_the_same_points_is_zero(dimensions):
    torch.manual_seed(0)
    points = 3 + torch.randn(3000, dimensions)
    assert nearest(points, points.flip(0)).max() == 0


@pytest.mark.parametrize("judge", [energy_distance, lambda a, b: nearest(a, b).sum().item()])
def test_only_so_many_distances_are_held_at_a_time(judge, monkeypatch):
    torch.manual_seed(0)
    a, b = torch.randn(997, 2), torch.randn(1201, 2)
    whole = judge(a, b)
    held, cdist = [], torch.cdist

    def measured(*pair, **options):
        held.append(cdist(*pair, **options))
        return held[-1]

    monkeypatch.setattr(torch, "cdist", measured)
    monkeypatch.setattr(utils, "AT_ONCE", 10_000)
    assert judge(a, b) == pytest.approx(whole, rel=1e-6)
    assert max(part.numel() for part in held) <= 10_000


def test_small_distances_keep_their_digits():
    """Two copies of a set, 1e-4 apart: the shortcut by products sees nothing of that."""
    torch.manual_seed(0)
    points = 3 + torch.randn(300, 2)
    shift = torch.tensor([6e-5, 8e-5])
    torch.testing.assert_close(
        distances(points, points + shift).diagonal(), torch.full((300,), 1e-4), rtol=0.01, atol=0
    )
    a, b = (points[:1].double() + k * shift for k in (0, 1))
    assert energy_distance(a.float(), b.float()) == pytest.approx(2e-4, rel=0.01)
