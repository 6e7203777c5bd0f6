"""spaces.py: units of points and images, and the files they are written to."""

import numpy as np
import pytest
import torch

from spaces import ImageSpace, PointSpace, make_space


def test_points_are_standardised_with_one_scale():
    torch.manual_seed(0)
    points = torch.randn(5000, 2) * torch.tensor([30.0, 3.0]) + torch.tensor([1000.0, -5.0])
    space = PointSpace.standardising(points)
    x = space.to_model(points)
    assert x.mean(0).abs().max() < 1e-4
    assert x.square().mean().item() == pytest.approx(1, abs=1e-4)
    assert (x[:, 0].std() / x[:, 1].std()).item() == pytest.approx(10, rel=0.05)
    torch.testing.assert_close(space.to_data(x), points, rtol=1e-5, atol=1e-3)


def test_csv_round_trip_in_the_datas_own_units(tmp_path):
    from drawings import read_drawing

    points = torch.randn(50, 2) * 1000
    PointSpace([0, 0], 1.0).write(points, tmp_path / "p.csv", "")
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "x,y"
    again = read_drawing(tmp_path / "p.csv", np.random.default_rng(0))
    assert np.array_equal(again.astype(np.float32), points.numpy())


def test_npy_files(tmp_path):
    points = torch.randn(5, 2)
    PointSpace([0, 0], 1.0).write(points, tmp_path / "p.npy", "")
    assert np.array_equal(np.load(tmp_path / "p.npy"), points.numpy())
    pixels = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    ImageSpace().write(pixels, tmp_path / "i.npy", "")
    assert np.array_equal(np.load(tmp_path / "i.npy"), pixels.numpy())


def test_limits_hold_the_data_and_most_of_the_noise():
    left, right, bottom, top = PointSpace([10, 20], 5.0).limits
    assert (left + right) / 2 == pytest.approx(10)
    assert (bottom + top) / 2 == pytest.approx(20)
    assert right - left == top - bottom > 5 * 5.0


def test_a_configuration_picks_its_space():
    assert make_space({"kind": "images", "dataset": "mnist"}).shape == (1, 28, 28)
    assert make_space({"kind": "points", "mean": [0.0, 1.0], "scale": 2.0}).shape == (2,)
