"""plots.py: sizes, contents and the arithmetic behind the pictures."""

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from plots import (
    GAP,
    evenly_spaced,
    save_animation,
    save_grid,
    save_loss_curve,
    save_panels,
    smooth,
    tile,
)


def images(count: int) -> torch.Tensor:
    """Images that are each of one grey, 0, 10, 20 ..."""
    return (torch.arange(count) * 10).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28)


def grey(path) -> np.ndarray:
    return iio.imread(path)[:, :, 0]


def test_tile_puts_images_row_by_row():
    canvas = tile(images(5), columns=2)
    step = 28 + GAP
    assert canvas.shape == (3 * step + GAP, 2 * step + GAP)
    for k in range(5):
        y, x = GAP + k // 2 * step, GAP + k % 2 * step
        assert (canvas[y : y + 28, x : x + 28] == 10 * k).all()
    assert (canvas[GAP + 2 * step :, GAP + step :] == 255).all()  # the empty place


@pytest.mark.parametrize("count", [1, 2, 9, 64, 3000])
def test_grid_keeps_the_greys(tmp_path, count):
    save_grid(images(25)[torch.arange(count) % 25], tmp_path / "grid.png", "title")
    found = np.unique(grey(tmp_path / "grid.png")).astype(int)
    for value in range(0, 10 * min(count, 25), 10):
        assert abs(found - value).min() <= 1  # colour maps round


def test_one_scale_for_all_pictures(tmp_path):
    """A picture of dark images stays dark: brightness is comparable between pictures."""
    save_grid(torch.full((4, 28, 28), 60, dtype=torch.uint8), tmp_path / "dark.png", "dark")
    picture = grey(tmp_path / "dark.png")
    assert (picture[30:] == 60).sum() == 4 * (4 * 28) ** 2  # four images, zoomed four times


def test_panels_have_a_row_for_each_image_and_a_column_for_each_time(tmp_path):
    panels = images(12).reshape(4, 3, 28, 28)
    save_panels(panels, [f"t = {k}" for k in range(4)], tmp_path / "p.png", "title")
    picture = grey(tmp_path / "p.png")
    ys, xs = {}, {}
    for value in range(0, 120, 10):
        where = np.argwhere(abs(picture[80:].astype(int) - value) <= 1)  # below the labels
        ys[value], xs[value] = np.median(where, axis=0)
    # Time k, image n has grey 10 (3 k + n).
    assert all(xs[10 * (3 * k)] < xs[10 * (3 * k + 3)] for k in range(3))
    assert all(ys[10 * n] < ys[10 * n + 10] for n in range(2))


@pytest.mark.parametrize("count", [1, 3, 8, 16])
def test_animation_has_its_frames_and_loops(tmp_path, count):
    frames = [images(count).roll(k, 0) for k in range(5)]
    save_animation(frames, [f"t = {k}" for k in range(5)], tmp_path / "a.gif", "title")
    drawn = iio.imread(tmp_path / "a.gif")
    assert len(drawn) == 5
    assert any((drawn[0] != drawn[k]).any() for k in range(1, 5))
    assert iio.immeta(tmp_path / "a.gif")["loop"] == 0


def test_smooth_is_a_centred_mean():
    values = [0.0, 3.0, 6.0, 3.0, 9.0]
    assert smooth(values, 1).tolist() == pytest.approx([0, 3, 4, 6, 9])
    assert smooth(values, 0).tolist() == values
    assert smooth(values, 50)[2] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("steps", [1, 2, 500])
def test_loss_curve_of_any_length(tmp_path, steps):
    save_loss_curve(np.linspace(1, 0.1, steps).tolist(), [steps], tmp_path / "loss.png")
    assert grey(tmp_path / "loss.png").std() > 10


def test_evenly_spaced_includes_both_ends():
    assert evenly_spaced(3, 11) == [0, 5, 10]
    assert evenly_spaced(10, 4) == [0, 1, 2, 3]
    assert len(evenly_spaced(10, 1001)) == 10
