"""Pictures of images: what stands where, looked at before it becomes pixels, and files as well."""

from itertools import chain

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from studio import picture, texts_above, texts_beside, title

from plots.animation import save_animation
from plots.figures import DPI, evenly_spaced, read_picture
from plots.images import (
    CLASS_COLUMNS,
    GAP,
    MAX_GRID,
    PAPER,
    RIGHT,
    by_class,
    class_texts,
    save_classes,
    save_grid,
    save_panels,
    save_rows,
    tile,
)
from plots.loss import ordinal, save_loss_curve, smooth
from plots.points import save_scatter

STEP = 28 + GAP


def images(count: int) -> torch.Tensor:
    """Images that are each of one grey, 0, 10, 20 ..."""
    return (torch.arange(count) * 10).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28)


def greys(canvas: np.ndarray) -> list[list[int]]:
    """The grey of each image on a canvas, row by row; each is of one grey, with gaps around it."""
    rows, columns = (side // STEP for side in canvas.shape)
    cells = [
        [canvas[GAP + STEP * y :, GAP + STEP * x :][:28, :28] for x in range(columns)]
        for y in range(rows)
    ]
    assert canvas.shape == (rows * STEP + GAP, columns * STEP + GAP)
    assert all((cell == cell[0, 0]).all() for row in cells for cell in row)
    return [[int(cell[0, 0]) for cell in row] for row in cells]


def middles(places) -> list[float]:
    """At which pixel the middle of image number `place` is."""
    return [GAP + STEP * place + 13.5 for place in places]


def test_tile_puts_images_row_by_row():
    assert greys(tile(images(5), columns=2)) == [[0, 10], [20, 30], [40, PAPER]]


@pytest.mark.parametrize("count", [1, 2, 9, 64])
def test_a_grid_is_square_and_in_order(count, figures, tmp_path):
    save_grid(images(25)[torch.arange(count) % 25], tmp_path / "grid.png", "samples")
    found = greys(picture(figures["grid"].axes[0]))
    assert len(found) <= len(found[0]) <= len(found) + 1
    assert list(chain(*found))[:count] == [10 * (k % 25) for k in range(count)]
    assert title(figures["grid"]) == "samples"


def test_of_very_many_images_the_grid_shows_the_first_and_says_so(figures, tmp_path):
    save_grid(images(1).expand(MAX_GRID + 500, -1, -1), tmp_path / "grid.png", "samples")
    assert sum(len(row) for row in greys(picture(figures["grid"].axes[0]))) == MAX_GRID
    assert title(figures["grid"]) == "samples (the first 2,500 of 3,000)"


@pytest.mark.parametrize("zoomed", [1, 4])
def test_one_scale_for_all_pictures(zoomed, tmp_path):
    """A picture of dark images stays dark, in the file: brightness is comparable between them."""
    count = 4 if zoomed == 4 else 31**2
    dark = torch.full((count, 28, 28), 60, dtype=torch.uint8)
    save_grid(dark, tmp_path / "dark.png", "dark")
    found = iio.imread(tmp_path / "dark.png")[30:, :, 0]
    assert (found == 60).sum() == count * (zoomed * 28) ** 2
    assert (found == PAPER).sum() + (found == 60).sum() == found.size


# -------------------------------------------------------------------------------------- classes

NAMES = ("shirt", "ankle boot", "bag")


def test_classes_have_a_row_each_with_its_label(figures, tmp_path):
    labels = torch.tensor([2, 0, 2, 0, 2])
    save_classes(images(5), labels, NAMES, tmp_path / "c.png", "title")
    axes = figures["c"].axes[0]
    assert greys(picture(axes)) == [[10, 30, PAPER], [0, 20, 40]]
    assert texts_beside(axes) == ["shirt 0", "bag 2"]
    assert axes.get_yticks().tolist() == middles([0, 1])


def test_a_class_of_many_goes_on_in_the_next_row(figures, tmp_path):
    labels = torch.cat([torch.zeros(25), torch.ones(22)]).long()
    save_classes(images(1).expand(47, -1, -1), labels, (), tmp_path / "c.png", "title")
    axes = figures["c"].axes[0]
    found = greys(picture(axes))
    assert [row.count(0) for row in found] == [CLASS_COLUMNS, 5, CLASS_COLUMNS, 2]
    assert texts_beside(axes) == ["0", "1"]
    assert axes.get_yticks().tolist() == middles([0, 2])


def test_one_image_of_each_class_stand_in_one_row(figures, tmp_path):
    save_classes(images(3), torch.tensor([1, 2, 0]), NAMES, tmp_path / "c.png", "title")
    axes = figures["c"].axes[0]
    assert greys(picture(axes)) == [[20, 0, 10]]
    assert texts_above(axes) == ["shirt\n0", "ankle\nboot\n1", "bag\n2"]
    assert axes.get_xticks().tolist() == middles(range(3))


def test_of_too_many_images_each_class_shows_its_first(figures, tmp_path):
    labels = torch.arange(4000) % 2
    save_classes(images(1).expand(4000, -1, -1), labels, (), tmp_path / "c.png", "title")
    assert title(figures["c"]) == "title (the first 1,240 of each class)"
    assert by_class(labels)[0].cells.shape == (2 * 1240,)


@pytest.mark.parametrize("kind", ["images", "points"])
def test_a_long_title_is_whole(kind, figures, tmp_path):
    options = "dpmpp, 20 steps, eta 1, seed 0, guidance 2 by model_epoch_001.pt at t = 500-999"
    path = tmp_path / "c.png"
    if kind == "images":
        save_classes(images(4), torch.arange(4) % 2, (), path, f"4 samples ({options})")
    else:
        save_scatter(torch.randn(9, 2), path, f"4 samples ({options})", (-3, 3, -3, 3))
    figure = figures["c"]
    assert title(figure).replace("\n", " ") == f"4 samples ({options})"
    FigureCanvasAgg(figure).draw()
    text = figure._suptitle or figure.axes[0].title
    box = text.get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= figure.axes[0].get_window_extent().y1
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


def test_rows_have_their_texts(figures, tmp_path):
    rows = [("first", images(3)), ("second", images(3).flip(0))]
    save_rows(rows, tmp_path / "r.png", "title")
    axes = figures["r"].axes[0]
    assert greys(picture(axes)) == [[0, 10, 20], [20, 10, 0]]
    assert texts_beside(axes) == ["first", "second"]


# ------------------------------------------------------------------------------- over time


def test_panels_have_a_row_for_each_image_and_a_column_for_each_time(figures, tmp_path):
    panels = images(12).reshape(4, 3, 28, 28)  # time k, image n has grey 10 (3 k + n)
    captions = [f"t = {k}" for k in range(4)]
    save_panels(panels, captions, tmp_path / "p.png", "title", ["a", "b", "c"])
    axes = figures["p"].axes[0]
    assert greys(picture(axes)) == [[10 * (3 * k + n) for k in range(4)] for n in range(3)]
    assert texts_above(axes) == captions
    assert axes.get_xticks().tolist() == middles(range(4))
    assert texts_beside(axes) == ["a", "b", "c"]
    assert axes.get_yticks().tolist() == middles(range(3))
    assert title(figures["p"]) == "title"


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (8, 2), (16, 3)])
def test_an_animation_shows_all_images_in_every_frame(count, rows, frames, tmp_path):
    shown = [images(count).roll(k, 0) for k in range(5)]
    save_animation(shown, [f"t = {k}" for k in range(5)], tmp_path / "a.gif", "title")
    assert len(frames) == 5
    for k, frame in enumerate(frames):
        found = greys(frame.content)
        assert len(found) == rows
        assert list(chain(*found))[:count] == shown[k][:, 0, 0].tolist()
        assert (frame.title, frame.caption) == ("title", f"t = {k}")
        assert frame.progress == pytest.approx(k / 4)


def test_an_animation_has_the_rows_and_labels_of_its_still(frames, figures, tmp_path):
    labels = torch.arange(20) % 10
    save_classes(images(20), labels, (), tmp_path / "still.png", "title")
    save_animation(
        [images(20)] * 2, ["noise", "sample"], tmp_path / "a.gif", "title", by_class(labels)[0]
    )
    still = figures["still"].axes[0]
    assert greys(frames[0].content) == greys(picture(still))
    assert greys(frames[0].content)[3] == [30, 130]
    assert texts_beside(frames[0].axes) == texts_beside(still) == [str(k) for k in range(10)]


def test_a_bar_that_is_told_how_full_it_is(frames, tmp_path):
    shares = [0, 0.5, 1, 0.5, 0]
    save_animation([images(1)] * 5, ["x"] * 5, tmp_path / "a.gif", "title", progress=shares)
    assert [frame.progress for frame in frames] == shares


def test_an_animation_is_a_gif_that_loops_and_holds_its_last_frame(tmp_path):
    frames = [images(3).roll(k, 0) for k in range(5)]
    save_animation(frames, [f"t = {k}" for k in range(5)], tmp_path / "a.gif", "title")
    drawn = iio.imread(tmp_path / "a.gif")[..., 0].astype(int)
    assert len(drawn) == 5
    height, width = drawn[0].shape
    for k in range(5):
        columns = [width // 2 + 3 * STEP * place for place in (-1, 0, 1)]
        middle_row = drawn[k, height - 3 * STEP // 2, columns]
        assert abs(middle_row - frames[k][:, 0, 0].numpy()).max() <= 5  # of 32 grey levels
    durations = [iio.immeta(tmp_path / "a.gif", index=k)["duration"] for k in range(5)]
    assert durations == [1000, 1000, 1000, 1000, 1500]
    assert iio.immeta(tmp_path / "a.gif")["loop"] == 0


# ------------------------------------------------------------------------------- the loss curve


def test_smooth_is_a_centred_mean_of_full_windows():
    values = [0.0, 3.0, 6.0, 3.0, 9.0]
    assert smooth(values, 1).tolist() == pytest.approx([3, 4, 6])
    assert smooth(values, 0).tolist() == pytest.approx(values)
    assert smooth(values, 2).tolist() == pytest.approx([4.2])


def loss_curve(figures, folder, losses, ends):
    """The axes, and (steps, values) of its lines by their names in the legend."""
    save_loss_curve(losses, ends, folder / "loss.png")
    axes = figures["loss"].axes[0]
    lines, names = axes.get_legend_handles_labels()
    return axes, {name: line.get_data() for name, line in zip(names, lines, strict=True)}


@pytest.mark.parametrize("count", [1, 2, 3, 500])
def test_the_loss_curve_shows_every_step_and_means_of_full_windows(count, figures, tmp_path):
    losses = (np.linspace(0.9, 0.3, count) + 0.1 * (np.arange(count) % 2)).tolist()
    axes, lines = loss_curve(figures, tmp_path, losses, [count])
    steps, values = lines["each step"]
    assert steps.tolist() == list(range(1, count + 1))
    assert values.tolist() == losses
    reach = {1: 0, 2: 0, 3: 1, 500: 5}[count]
    steps, values = lines[f"mean over {2 * reach + 1} steps"]
    assert steps.tolist() == list(range(1 + reach, count + 1 - reach))
    assert values[0] == pytest.approx(np.mean(losses[: 2 * reach + 1]))
    assert values[-1] == pytest.approx(np.mean(losses[-2 * reach - 1 :]))
    assert axes.get_xlim() == (1, max(2, count))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")


@pytest.mark.parametrize("floor", [None, 0.8161])
def test_the_least_loss_is_a_labelled_dashed_line(floor, figures, tmp_path):
    save_loss_curve([1.0, 0.9, 0.85], [3], tmp_path / "loss.png", floor)
    (axes,) = figures["loss"].axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [set(line.get_ydata()) for line in dashed] == ([] if floor is None else [{floor}])
    wanted = "lowest possible loss: 0.82"
    assert (wanted in texts) == (floor is not None)
    assert all(axes.get_ylim()[0] < value < axes.get_ylim()[1] for value in (1.0, floor or 0.85))


def test_the_smoothed_loss_does_not_jump_at_its_end(figures, tmp_path):
    losses = np.ones(1000)
    losses[-1] = 5.0  # one bad batch
    _, lines = loss_curve(figures, tmp_path, losses.tolist(), [])
    assert lines["mean over 21 steps"][1].max() < 1.2


@pytest.mark.parametrize(
    ("epochs", "every", "name"),
    [
        (3, 1, "end of an epoch"),
        (100, 2, "end of every 2nd epoch"),
        (140, 3, "3rd"),
        (200, 4, "4th"),
    ],
)
def test_the_loss_curve_marks_the_ends_of_at_most_fifty_epochs(
    epochs, every, name, figures, tmp_path
):
    ends = [5 * k for k in range(1, epochs + 1)]
    axes, lines = loss_curve(figures, tmp_path, np.ones(5 * epochs).tolist(), ends)
    assert any(name in label for label in lines)
    marks = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert marks == ends[every - 1 :: every]


def test_a_loss_that_falls_far_is_on_a_logarithmic_scale(figures, tmp_path):
    for last, scale in ((0.5, "linear"), (0.05, "log")):
        axes, _ = loss_curve(figures, tmp_path, np.geomspace(1, last, 50).tolist(), [50])
        assert axes.get_yscale() == scale


def test_ordinals():
    found = [ordinal(k) for k in (1, 2, 3, 4, 11, 12, 13, 20, 21, 102, 111)]
    assert found == "1st 2nd 3rd 4th 11th 12th 13th 20th 21st 102nd 111th".split()


def test_evenly_spaced_includes_both_ends():
    assert evenly_spaced(3, 11) == [0, 5, 10]
    assert evenly_spaced(10, 4) == [0, 1, 2, 3]
    assert len(evenly_spaced(10, 1001)) == 10


# -------------------------------------------------------------------------------------- colours

HUES = torch.tensor([[200, 0, 0], [0, 150, 0], [0, 0, 250]], dtype=torch.uint8)
COLOURED = HUES[:, None, None].expand(-1, 6, 8, -1)  # images of one colour, 6 high and 8 wide


def test_tiles_in_colour():
    canvas = tile(COLOURED, columns=2)
    assert canvas.shape == (2 * (6 + GAP) + GAP, 2 * (8 + GAP) + GAP, 3)
    for k, colour in enumerate(HUES):
        row, column = divmod(k, 2)
        cell = canvas[GAP + row * (6 + GAP) :, GAP + column * (8 + GAP) :][:6, :8]
        assert (cell == colour.numpy()).all()
    assert (canvas[-6 - GAP :, -8 - GAP :] == PAPER).all()


def test_pictures_in_colour_are_written_in_colour(tmp_path):
    labels = torch.tensor([1, 0, 1])
    save_grid(COLOURED, tmp_path / "grid.png", "samples")
    save_classes(COLOURED, labels, ("a", "b"), tmp_path / "classes.png", "samples")
    save_rows([("one", COLOURED), ("two", COLOURED)], tmp_path / "rows.png", "rows")
    panels = torch.stack([COLOURED, COLOURED])
    save_panels(panels, ["t = 1", "t = 0"], tmp_path / "panels.png", "panels")
    for path in tmp_path.glob("*.png"):
        pixels = read_picture(path).reshape(-1, 3)
        for colour in HUES.numpy():
            assert (pixels == colour).all(1).sum() >= 6 * 8, path.name


def test_animations_are_grey_or_in_colour(tmp_path):
    grey = COLOURED[..., 0]
    for name, images in (("grey", grey), ("colour", COLOURED)):
        save_animation([images, images], ["a", "b"], tmp_path / f"{name}.gif", "title")
    frames = {name: iio.imread(tmp_path / f"{name}.gif", index=0) for name in ("grey", "colour")}
    rgb = {name: frame.reshape(-1, 3).astype(int) for name, frame in frames.items()}
    assert (rgb["grey"] == rgb["grey"][:, :1]).all()
    for colour in HUES.numpy():
        assert (abs(rgb["colour"] - colour).max(1) < 12).sum() >= 6 * 8


def test_a_name_that_says_no_more_than_the_label_is_left_out():
    assert class_texts([1, 0], ("0", "1")) == ["1", "0"]
    assert class_texts([1, 2], ("coat", "bag")) == ["bag 1", "2"]  # no name for each of them


def test_names_are_no_formulas(tmp_path):
    save_classes(images(2), torch.tensor([0, 1]), (r"$\frac$", "$x$"), tmp_path / "c.png", "title")
    assert (tmp_path / "c.png").stat().st_size > 0


def test_long_names_stand_beside_images_without_an_empty_margin_on_the_other_side():
    pixels = torch.zeros(6, 32, 32, 3, dtype=torch.uint8)
    for name in ("smileys_emotion", "CATS AND DOGS", "i" * 200):
        sheet, _ = by_class(torch.arange(6) % 2, ["a", name])
        figure, axes = sheet.draw(pixels, 4, 0.3)
        figure.canvas.draw()
        left = min(text.get_window_extent().x0 for text in axes.get_yticklabels())
        right = figure.bbox.x1 - axes.get_window_extent().x1
        assert left >= 0
        assert right <= RIGHT * DPI + 1


def test_names_in_letters_that_no_font_has_are_drawn_without_a_warning(tmp_path, recwarn):
    pixels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    save_classes(
        pixels, torch.arange(2), ["\N{CJK UNIFIED IDEOGRAPH-732B}", "b"], tmp_path / "c.png", ""
    )
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
