"""Every picture: grids of samples, panels over time, the loss curve, animations.

Images come in as uint8 tensors (N, H, W), are drawn on one grey scale (0 black, 255 white) and
written atomically. Figures are made without pyplot, so nothing here needs or opens a display.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v3 as iio
import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from files import atomic_write

# Pictures look the same everywhere, whatever a matplotlibrc in the current folder asks for.
matplotlib.rcdefaults()

DPI = 100
GAP = 2  # pixels between images, before zooming
PAPER = 255  # colour of the gaps
MAX_GRID = 2500  # images in one picture
GIF_HEADER = 0.62  # inches above an animation, for title, caption and progress bar
CLASS_COLUMNS = 20  # most images of a class side by side
MIN_WIDTH = 5.2  # inches, so that the titles fit above small pictures


def tile(pixels: Tensor, columns: int) -> np.ndarray:
    """Images uint8 (N, H, W), row by row, as one grey image with gaps between and around them."""
    rows = math.ceil(len(pixels) / columns)
    height, width = pixels.shape[1] + GAP, pixels.shape[2] + GAP
    cells = np.full((rows * columns, height, width), PAPER, dtype=np.uint8)
    cells[: len(pixels), GAP:, GAP:] = pixels.numpy()
    grid = cells.reshape(rows, columns, height, width).swapaxes(1, 2)
    return np.pad(
        grid.reshape(rows * height, columns * width), ((0, GAP), (0, GAP)), constant_values=PAPER
    )


def figure_for(
    canvas: np.ndarray, zoom: float, header: float = 0.3, margin: float = 0.0
) -> tuple[Figure, Axes]:
    """A figure that shows a tiled image at `zoom` pixels a pixel.

    Args:
        header, margin: inches above it, and on either side of it.
    """
    height, width = (side * zoom / DPI for side in canvas.shape)
    full_width = max(width + 2 * margin, MIN_WIDTH)
    figure = Figure(figsize=(full_width, height + header), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left = (full_width - width) / 2 / full_width
    axes = figure.add_axes((left, 0, width / full_width, height / (height + header)), frameon=False)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure, axes


def save_figure(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def save_grid(pixels: Tensor, path: Path, title: str) -> None:
    """A square grid of samples; of more than `MAX_GRID` only the first, which the title tells."""
    total = len(pixels)
    if total > MAX_GRID:
        pixels = pixels[:MAX_GRID]
        title = f"{title} (the first {MAX_GRID:,} of {total:,})"
    columns = math.ceil(math.sqrt(len(pixels)))
    canvas = tile(pixels, columns)
    figure, axes = figure_for(canvas, zoom=max(1, min(4, 900 // canvas.shape[1])))
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)


def save_classes(
    pixels: Tensor, labels: Tensor, names: Sequence[str], path: Path, title: str
) -> None:
    """A row of samples for each class (or several, if they are many), with its label.

    Args:
        labels: of the images, int64 (N,).
        names: of the classes, to stand beside the labels; may be empty.
    """
    found = labels.unique().tolist()
    most = int(labels.bincount().max())
    columns = min(most, CLASS_COLUMNS)
    each = min(math.ceil(most / columns), max(1, MAX_GRID // columns // len(found))) * columns
    if most > each:
        title = f"{title} (the first {each:,} of each class)"
    cells = torch.full((len(found), each, *pixels.shape[1:]), PAPER, dtype=torch.uint8)
    for row, label in zip(cells, found, strict=True):
        of_class = pixels[labels == label][:each]
        row[: len(of_class)] = of_class
    texts = [f"{names[k]} {k}" if names else str(k) for k in found]
    draw_rows(cells, texts, columns, path, title)


def save_rows(rows: Sequence[tuple[str, Tensor]], path: Path, title: str) -> None:
    """One row of images, uint8 (N, H, W), for each text that stands beside it."""
    texts, images = zip(*rows, strict=True)
    draw_rows(torch.stack(images), texts, len(images[0]), path, title)


def draw_rows(groups: Tensor, texts: Sequence[str], columns: int, path: Path, title: str) -> None:
    """Groups of images (groups, N, H, W), each in rows of `columns`, with texts beside them."""
    canvas = tile(groups.flatten(0, 1), columns)
    zoom = max(1, min(4, 900 // canvas.shape[1]))
    margin = 0.25 + 0.075 * max(map(len, texts))
    figure, axes = figure_for(canvas, zoom, margin=margin)
    step = (groups.shape[2] + GAP) * groups.shape[1] // columns
    axes.set_yticks([GAP + step * k + groups.shape[2] / 2 for k in range(len(texts))], texts)
    axes.tick_params(length=0, labelsize=9)
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)


def save_panels(panels: Tensor, labels: Sequence[str], path: Path, title: str) -> None:
    """Images over time: one row an image, one column a time.

    Args:
        panels: uint8 (times, images, H, W).
        labels: what stands above each column.
    """
    times = len(panels)
    canvas = tile(panels.transpose(0, 1).flatten(0, 1), columns=times)
    figure, axes = figure_for(canvas, zoom=2.5, header=0.78)
    step = panels.shape[3] + GAP
    axes.xaxis.tick_top()
    axes.set_xticks([GAP + step * k + panels.shape[3] / 2 - 0.5 for k in range(times)], labels)
    axes.tick_params(length=0, labelsize=9)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / figure.get_figheight(), va="top")
    save_figure(figure, path)


def save_animation(
    frames: Sequence[Tensor], captions: Sequence[str], path: Path, title: str
) -> None:
    """A GIF of image grids (uint8 (images, H, W) each), each with its caption."""
    images = len(frames[0])
    columns = images if images <= 4 else math.ceil(images / max(1, round(math.sqrt(images / 2))))
    figure, axes = figure_for(tile(frames[0], columns), zoom=3, header=GIF_HEADER)
    shown = axes.get_images()[0]
    animate(figure, lambda i: shown.set_data(tile(frames[i], columns)), captions, path, title)


def animate(
    figure: Figure,
    draw: Callable[[int], None],
    captions: Sequence[str],
    path: Path,
    title: str,
    seconds: float = 5.0,
    hold: float = 1.5,
) -> None:
    """Write a GIF: title, caption and progress bar above what `draw(i)` shows for frame i.

    Args:
        figure: with `GIF_HEADER` inches left free at its top.
        seconds: how long it runs, before `hold` seconds on the last frame.
    """
    top = figure.get_figheight()
    figure.text(0.5, 1 - 0.06 / top, title, fontsize=10, ha="center", va="top")
    caption = figure.text(0.5, 1 - 0.27 / top, "", fontsize=9, ha="center", va="top")
    bar = figure.add_axes((0.04, 1 - 0.54 / top, 0.92, 0.07 / top), facecolor="0.88")
    bar.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    mark = bar.barh(0.5, 0.0, height=1.0, color="0.25")[0]
    frames = []
    for i, text in enumerate(captions):
        draw(i)
        caption.set_text(text)
        mark.set_width(i / max(1, len(captions) - 1))
        frames.append(snapshot(figure))
    durations = [1000 * seconds / len(frames)] * (len(frames) - 1) + [1000 * hold]
    film = np.stack(frames)
    if (film == film[..., :1]).all():
        film = film[..., 0]  # a grey GIF needs no palette search and is far smaller
    with atomic_write(path) as temporary:
        iio.imwrite(temporary, film, duration=durations, loop=0)


def snapshot(figure: Figure) -> np.ndarray:
    """A figure as uint8 (H, W, 3), in 32 levels: noise in more of them bloats a GIF."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    rgb = np.asarray(canvas.buffer_rgba())[:, :, :3]
    return np.round(np.round(rgb * (31 / 255)) * (255 / 31)).astype(np.uint8)


def save_loss_curve(losses: Sequence[float], epoch_ends: Sequence[int], path: Path) -> None:
    """The loss of each step, its smoothed course, and where epochs end.

    Args:
        losses: one for each step, from step 1.
        epoch_ends: the steps after which an epoch ended.
    """
    figure = Figure(figsize=(7, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    every = math.ceil(len(epoch_ends) / 50)
    epochs = "end of an epoch" if every == 1 else f"end of every {every}th epoch"
    for i, end in enumerate(epoch_ends[every - 1 :: every]):
        axes.axvline(end, color="0.85", linewidth=0.8, label=None if i else epochs)
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.7, label="each step")
    reach = max(1, len(losses) // 100)
    label = f"mean over {2 * reach + 1} steps"
    axes.plot(steps, smooth(losses, reach), color="tab:blue", label=label)
    axes.set(title="Training loss", xlabel="step", ylabel="loss")
    axes.set_xlim(1, max(2, len(losses)))
    if max(losses) > 10 * min(losses):  # less has too few round numbers on a logarithmic scale
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper right", fontsize=8)
    save_figure(figure, path)


def smooth(values: Sequence[float], reach: int) -> np.ndarray:
    """Centred moving average with up to `reach` values on either side (fewer at the ends)."""
    padded = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    index = np.arange(len(values))
    sides = np.minimum(reach, np.minimum(index, len(values) - 1 - index))
    return (padded[index + sides + 1] - padded[index - sides]) / (2 * sides + 1)


def evenly_spaced(count: int, total: int) -> list[int]:
    """Up to `count` indices spread over range(total), the first and the last among them."""
    if total <= count:
        return list(range(total))
    return sorted({round(i) for i in torch.linspace(0, total - 1, count).tolist()})
