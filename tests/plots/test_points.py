"""Pictures of points: the artists' data before they become pixels."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from studio import dots, picture, texts_above, texts_beside, title

from datasets.shapes import make_shape
from datasets.units import ImageUnits, PointUnits
from diffusion import make_schedule
from names import datasets_of
from plots.density import places
from plots.pictures import make_pictures
from plots.points import (
    INK,
    MAX_POINTS,
    draw_density,
    save_arrows,
    save_field,
    save_gallery,
    save_paths,
    save_scatter,
    save_scatter_animation,
    save_scatter_panels,
)
from plots.schedules import save_schedules, shown_timesteps

LIMITS = (-3.0, 3.0, -2.0, 4.0)


def points(count, seed=0):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def has_the_limits(axes) -> bool:
    equal = axes.get_aspect() == 1
    return equal and (*axes.get_xlim(), *axes.get_ylim()) == LIMITS


def the_only(kind, axes):
    (found,) = (artist for artist in axes.collections if isinstance(artist, kind))
    return found


def test_a_scatter_shows_every_point_and_colours_labels(figures, tmp_path):
    labels = torch.arange(50) % 12
    save_scatter(points(50), tmp_path / "s.png", "title", LIMITS, labels)
    (axes,) = figures["s"].axes
    assert dots(axes)[0] == pytest.approx(points(50).numpy())
    assert has_the_limits(axes)
    assert title(figures["s"]) == "title"
    axes.collections[0].update_scalarmappable()
    colours = axes.collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 10
    assert np.array_equal(colours[0], colours[10])  # there are ten colours
    assert not np.array_equal(colours[0], colours[1])


@pytest.mark.parametrize("labels", [None, torch.zeros(50, dtype=torch.int64)])
def test_points_of_one_class_are_of_one_colour(labels, figures, tmp_path):
    save_scatter(points(50), tmp_path / "s.png", "title", LIMITS, labels)
    colours = figures["s"].axes[0].collections[0].get_facecolors()
    assert np.unique(colours, axis=0).tolist() == [list(to_rgba(INK))]


def test_no_more_points_than_one_can_see(figures, tmp_path):
    save_scatter(points(MAX_POINTS + 5), tmp_path / "s.png", "title", LIMITS)
    shown = dots(figures["s"].axes[0])[0]
    assert MAX_POINTS / 2 < len(shown) < MAX_POINTS
    assert shown == pytest.approx(points(MAX_POINTS + 5)[: len(shown)].numpy())


def test_panels_over_time_share_their_axes(figures, tmp_path):
    times = [points(20, seed) for seed in range(11)]
    captions = [f"t = {k}" for k in range(11)]
    save_scatter_panels(times, captions, tmp_path / "p.png", "title", LIMITS, torch.arange(20) % 2)
    shown = [axes for axes in figures["p"].axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == captions
    for axes, expected in zip(shown, times, strict=True):
        assert dots(axes)[0] == pytest.approx(expected.numpy())
        assert axes.collections[0].get_array().tolist() == [0, 1] * 10
        assert has_the_limits(axes)


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(2, 1, 2), (4, 1, 4), (6, 2, 3), (8, 2, 4), (11, 3, 4)],
)
def test_panels_have_no_ticks_and_stand_in_rows_of_a_length(
    count, rows, columns, figures, tmp_path
):
    times = [points(20, seed) for seed in range(count)]
    save_scatter_panels(times, ["t"] * count, tmp_path / "p.png", "title", LIMITS)
    shown = [axes for axes in figures["p"].axes if axes.get_visible()]
    layout = shown[0].get_subplotspec().get_gridspec()
    assert (layout.nrows, layout.ncols) == (rows, columns)
    assert all(texts_above(axes) == [] and texts_beside(axes) == [] for axes in shown)


def test_the_fewer_points_and_the_larger_the_panel_the_larger_the_points(figures, tmp_path):
    sizes = []
    for name, panels in (("small", 8), ("large", 2)):
        for count in (400, 1500, 20_000):
            times = [points(count)] * panels
            path = tmp_path / f"{name}{count}.png"
            save_scatter_panels(times, ["t"] * panels, path, "title", LIMITS)
            (drawn,) = figures[path.stem].axes[0].collections
            covered = drawn.get_sizes()[0] * len(drawn.get_offsets())
            side = {"small": 2.1, "large": 3.4}[name]
            assert covered < 0.2 * (72 * side) ** 2  # so that denser places are darker
            assert drawn.get_sizes()[0] >= 1  # more than a pixel
            sizes.append(drawn.get_sizes()[0])
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[1] < sizes[4]


def test_the_density_of_few_points_is_spread_over_neighbours_and_lost_beyond_the_edge():
    axes = Figure().subplots()
    draw_density(axes, torch.tensor([[0.05, 1.05], [2.95, -1.95], [9.0, 9.0]]), LIMITS)
    counts = picture(axes) ** 2  # cells of 0.1
    row = np.array([0.25, 0.5, 0.25])
    assert counts[29:32, 29:32] == pytest.approx(np.outer(row, row))
    assert counts[:2, -2:] == pytest.approx(np.outer(row[1:], row[:2]))
    assert counts.sum() == pytest.approx(1 + 0.75**2)


def test_an_animation_moves_the_points_and_not_the_view(frames, tmp_path):
    times = [points(20, seed) for seed in range(4)]
    save_scatter_animation(
        times, list("abcd"), tmp_path / "a.gif", "title", LIMITS, torch.arange(20) % 2
    )
    assert [frame.caption for frame in frames] == list("abcd")
    assert [frame.progress for frame in frames] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    for frame, expected in zip(frames, times, strict=True):
        assert frame.content == pytest.approx(expected.numpy())
        assert has_the_limits(frame.axes)
    assert frames[0].axes.collections[0].get_array().tolist() == [0, 1] * 10


def test_arrows_go_from_noisy_points_to_their_estimates(figures, tmp_path):
    clean, feet, tips = points(30), [points(7, 1), points(7, 2)], [points(7, 3), points(7, 4)]
    save_arrows(clean, feet, tips, ["little", "much"], tmp_path / "a.png", "title", LIMITS)
    assert [axes.get_title() for axes in figures["a"].axes] == ["little", "much"]
    for axes, foot, tip in zip(figures["a"].axes, feet, tips, strict=True):
        arrows = the_only(Quiver, axes)
        assert arrows.get_offsets() == pytest.approx(foot.numpy())
        along = np.stack([arrows.U, arrows.V], axis=1)
        assert foot.numpy() + along == pytest.approx(tip.numpy(), abs=1e-6)
        assert (arrows.angles, arrows.scale_units, arrows.scale) == ("xy", "xy", 1)  # as long
        backdrop, at_feet = dots(axes)
        assert backdrop == pytest.approx(clean.numpy())
        assert at_feet == pytest.approx(foot.numpy())
        assert has_the_limits(axes)


def test_the_field_has_directions_of_one_length_over_the_density_of_its_own_panel(
    figures, tmp_path
):
    grid, scores = points(40), [points(40, 1), points(40, 2) / 10]
    x, y = places(LIMITS).T
    densities = [(-((x - 1) ** 2)).exp(), (-((y - 2) ** 2)).exp()]
    save_field(grid, scores, densities, ["little", "much"], tmp_path / "f.png", "title", LIMITS)
    *panels, bar = figures["f"].axes
    lengths = [score.norm(dim=1) for score in scores]
    for axes, score, length, density in zip(panels, scores, lengths, densities, strict=True):
        arrows = the_only(Quiver, axes)
        assert arrows.get_offsets() == pytest.approx(grid.numpy())
        direction = np.stack([arrows.U, arrows.V], axis=1)
        assert direction == pytest.approx((score / length[:, None]).numpy())
        # The colours say how long, on one scale.
        assert np.asarray(arrows.get_array()) == pytest.approx(length.numpy())
        assert arrows.norm.vmax == pytest.approx(max(map(torch.max, lengths)).item())
        assert arrows.norm.vmin == pytest.approx(arrows.norm.vmax / 100)
        shown = picture(axes)
        assert shown.ravel() ** 2 == pytest.approx(density.numpy(), abs=1e-6)
        assert axes.get_images()[0].get_extent() == list(LIMITS)
        assert has_the_limits(axes)
    # Rows are y, from the lowest.
    assert np.ptp(picture(panels[0]), axis=0).max() == 0
    assert np.ptp(picture(panels[1]), axis=1).max() == 0
    assert picture(panels[1])[:, 0].argmax() == pytest.approx(100 * 4 / 6, abs=1)
    assert "length of the score" in bar.get_ylabel()


def test_paths_lead_from_noise_to_samples(figures, tmp_path):
    paths = torch.randn(6, 5, 2)
    save_paths(paths, points(30), tmp_path / "p.png", "title", LIMITS)
    (axes,) = figures["p"].axes
    for k, line in enumerate(axes.lines):
        assert line.get_xydata() == pytest.approx(paths[:, k].numpy())
    assert len(axes.lines) == 5
    backdrop, noise, samples = dots(axes)
    assert backdrop == pytest.approx(points(30).numpy())
    assert noise == pytest.approx(paths[0].numpy())
    assert samples == pytest.approx(paths[-1].numpy())
    assert axes.get_legend_handles_labels()[1] == ["noise", "sample"]


def test_the_gallery_shows_every_set_whole_on_axes_of_its_own(figures, tmp_path):
    sets = []
    for name in datasets_of("points"):
        made, labels = map(torch.from_numpy, make_shape(name, 200, 0))
        sets.append((name, made, labels))
    save_gallery(sets, tmp_path / "g.png", "title")
    assert [axes.get_title() for axes in figures["g"].axes] == list(datasets_of("points"))
    for axes, (_, made, _) in zip(figures["g"].axes, sets, strict=True):
        shown = dots(axes)[0]
        assert shown == pytest.approx(made.numpy())
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert left < shown[:, 0].min()
        assert shown[:, 0].max() < right
        assert bottom < shown[:, 1].min()
        assert shown[:, 1].max() < top
        wider = max(np.ptp(shown, axis=0)) / (right - left)
        assert right - left == pytest.approx(top - bottom, rel=1e-4)
        assert wider > 0.8  # and not tiny


# ------------------------------------------------------------------------------------ schedules


@pytest.mark.parametrize("kind", ["images", "points"])
def test_schedules_have_their_curves_and_a_row_of_examples(kind, figures, tmp_path):
    schedules = {name: make_schedule(name, 50) for name in ("linear", "flow", "log_linear")}
    shape = (1, 28, 28) if kind == "images" else (30, 2)
    step = 1 if kind == "images" else 1 / 30  # in all, points stay within the limits
    units = ImageUnits((1, 28, 28)) if kind == "images" else PointUnits([0, 0], 1.0)
    pictures = make_pictures(units)
    noisy = [
        [torch.full(shape, (20 * row + place) * step) for place in range(9)]
        for row in range(len(schedules))
    ]
    save_schedules(schedules, noisy, tmp_path / "s.png", "title", pictures.draw_small)
    left, right, *cells = figures["s"].axes
    for axes in (left, right):
        assert [line.get_label() for line in axes.lines] == list(schedules)
    for (name, schedule), share, level in zip(
        schedules.items(), left.lines, right.lines, strict=True
    ):
        alpha2, sigma2 = schedule.alphas**2, schedule.sigmas**2
        expected = sigma2 / (alpha2 + sigma2)
        assert np.asarray(share.get_ydata()) == pytest.approx(expected.numpy()), name
        inside = abs(schedule.half_log_snr) < 8
        assert np.asarray(level.get_ydata())[inside] == pytest.approx(
            schedule.half_log_snr[inside].numpy()
        )
        assert share.get_xdata()[-1] == 1
    timesteps = shown_timesteps(schedules["linear"])
    assert (timesteps[0], timesteps[-1], len(timesteps)) == (0, 49, 9)
    assert [axes.get_title() for axes in cells[:9]] == [f"t = {t}" for t in timesteps]
    assert [axes.get_ylabel() for axes in cells[::9]] == list(schedules)
    for k, axes in enumerate(cells):
        shown, value = picture(axes), (20 * (k // 9) + k % 9) * step
        if kind == "images":
            assert (shown == value).all()
        else:  # the densest cell is where all the points are
            at = np.unravel_index(shown.argmax(), shown.shape)
            assert at == (int((value + 2.9) / 5.8 * 60),) * 2
            assert axes.get_images()[0].get_extent() == list(pictures.limits)
        assert kind == "points" or axes.get_images()[0].get_clim() == (0, 255)
        limits = (*axes.get_xlim(), *axes.get_ylim())
        assert kind == "images" or limits == pytest.approx(pictures.limits)
        assert texts_above(axes) == []
