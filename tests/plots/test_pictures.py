"""units.py and pictures.py: units of points and images, and the files they are written to."""

import numpy as np
import pytest
import torch
from studio import dots, picture, texts_above, texts_beside, title

from datasets.units import ImageUnits, PointUnits, make_units
from plots.pictures import make_pictures


def test_points_are_standardised_with_one_scale():
    torch.manual_seed(0)
    points = torch.randn(5000, 2) * torch.tensor([30.0, 3.0]) + torch.tensor([1000.0, -5.0])
    units = PointUnits.standardising(points)
    x = units.to_model(points)
    assert x.mean(0).abs().max() < 1e-4
    assert x.square().mean().item() == pytest.approx(1, abs=1e-4)
    assert (x[:, 0].std() / x[:, 1].std()).item() == pytest.approx(10, rel=0.05)
    torch.testing.assert_close(units.to_data(x), points, rtol=1e-5, atol=1e-3)


def test_csv_round_trip_in_the_datas_own_units(tmp_path):
    from datasets.drawings import read_drawing

    points = torch.randn(50, 2) * 1000
    make_pictures(PointUnits([0, 0], 1.0)).write(points, tmp_path / "p.csv", "")
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "x,y"
    again = read_drawing(tmp_path / "p.csv", np.random.default_rng(0))
    assert np.array_equal(again.astype(np.float32), points.numpy())


def test_npy_files(tmp_path):
    points = torch.randn(5, 2)
    make_pictures(PointUnits([0, 0], 1.0)).write(points, tmp_path / "p.npy", "")
    assert np.array_equal(np.load(tmp_path / "p.npy"), points.numpy())
    pixels = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    make_pictures(ImageUnits((1, 28, 28))).write(pixels, tmp_path / "i.npy", "")
    assert np.array_equal(np.load(tmp_path / "i.npy"), pixels.numpy())


def test_limits_hold_the_data_and_most_of_the_noise():
    left, right, bottom, top = make_pictures(PointUnits([10, 20], 5.0)).limits
    assert (left + right) / 2 == pytest.approx(10)
    assert (bottom + top) / 2 == pytest.approx(20)
    assert right - left == top - bottom > 5 * 5.0


def test_a_configuration_picks_its_units():
    assert make_units({"kind": "images", "shape": [3, 32, 24]}).shape == (3, 32, 24)
    assert make_units({"kind": "points", "mean": [0.0, 1.0], "scale": 2.0}).shape == (2,)


IMAGES = torch.arange(6, dtype=torch.uint8).mul(40).view(-1, 1, 1).expand(-1, 28, 28)
NAMES = ("coat", "bag", "shirt")


def test_pictures_of_images_name_their_classes(figures, frames, tmp_path):
    pictures, labels = (
        make_pictures(ImageUnits((1, 28, 28)), NAMES),
        torch.tensor([2, 0, 2, 0, 2, 0]),
    )
    pictures.write(IMAGES, tmp_path / "s.png", "samples", labels)
    pictures.draw_panels([IMAGES, IMAGES], ["a", "b"], tmp_path / "p.png", "panels", labels)
    pictures.draw_animation(
        [IMAGES, IMAGES], ["a", "b"], tmp_path / "a.gif", "animation", labels, [0, 1]
    )
    assert texts_beside(figures["s"].axes[0]) == ["coat 0", "shirt 2"]
    panels = figures["p"].axes[0]
    assert texts_beside(panels) == ["shirt 2", "coat 0"] * 3
    assert texts_above(panels) == ["a", "b"]
    assert [title(figures[name]) for name in "sp"] == ["samples", "panels"]
    assert texts_beside(frames[0].axes) == ["coat 0", "shirt 2"]
    assert np.array_equal(frames[1].content, picture(figures["s"].axes[0]))
    assert [frame.progress for frame in frames] == [0, 1]


def test_pictures_of_points_are_in_the_datas_units_and_coloured(figures, frames, tmp_path):
    pictures, points, labels = (
        make_pictures(PointUnits([100, -50], 10.0)),
        torch.randn(6, 2),
        torch.arange(6) % 2,
    )
    data = pictures.units.to_data(points)
    pictures.write(data, tmp_path / "s.png", "samples", labels)
    pictures.draw_panels([data, data + 1], ["a", "b"], tmp_path / "p.png", "panels", labels)
    pictures.draw_animation([data, data + 1], ["a", "b"], tmp_path / "a.gif", "animation", labels)
    drawn = [figures["s"].axes[0], *figures["p"].axes]
    for axes, expected in zip(drawn, (data, data, data + 1), strict=True):
        assert dots(axes)[0] == pytest.approx(expected.numpy())
        assert axes.collections[0].get_array().tolist() == labels.tolist()
        assert axes.get_xlim() == pytest.approx((71, 129))
        assert axes.get_ylim() == pytest.approx((-79, -21))
    assert frames[1].content == pytest.approx((data + 1).numpy())


def test_what_is_in_sight(tmp_path):
    pictures = make_pictures(PointUnits([100, -50], 10.0))
    data = torch.tensor([[100.0, -50.0], [128.9, -50.0], [129.1, -50.0], [100.0, -80.0]])
    assert pictures.shows(data).tolist() == [True, True, False, False]
