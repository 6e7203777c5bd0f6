"""Pictures of images: grids of samples, rows of classes, panels over time; and the loss curve.

Images come in as uint8 tensors (N, H, W), are drawn on one grey scale (0 black, 255 white) and
written atomically. Figures are made without pyplot, so nothing here needs or opens a display.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from system.files import atomic_write

DPI = 100
GAP = 2  # pixels between images, before zooming
PAPER = 255  # colour of the gaps
MAX_GRID = 2500  # images in one picture
CLASS_COLUMNS = 20  # most images of a class side by side
MIN_WIDTH = 5.2  # inches, so that the titles fit above small pictures
LETTER, LINE = 0.075, 0.2  # inches that a letter, and a line, of the texts beside images take


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


@dataclass(frozen=True)
class Sheet:
    """Which image stands where in a picture, and what is written beside and above them.

    Attributes:
        cells: indices of images, row by row, int64 (rows * columns,); -1 leaves a place empty.
        beside: texts for as many equal groups of rows, each at the first row of its group.
        above: a text for each column.
    """

    cells: Tensor
    columns: int
    beside: Sequence[str] = ()
    above: Sequence[str] = ()

    def tile(self, pixels: Tensor) -> np.ndarray:
        """Images uint8 (N, H, W) in their places."""
        empty = torch.full_like(pixels[:1], PAPER)
        return tile(torch.cat([pixels, empty])[self.cells], self.columns)

    def draw(self, pixels: Tensor, zoom: float, header: float) -> tuple[Figure, Axes]:
        """A figure that shows the images at `zoom` pixels a pixel, `header` inches below its top.

        The header leaves room for a title; what the texts above the columns need is added to it.
        """
        canvas = self.tile(pixels)
        lines = max((text.count("\n") + 1 for text in self.above), default=0)
        margin = 0.25 + LETTER * max(map(len, self.beside)) if self.beside else 0.0
        figure, axes = figure_for(canvas, zoom, header + LINE * lines, margin)
        height, width = pixels.shape[1], pixels.shape[2]
        if self.above:
            axes.xaxis.tick_top()
            middles = [GAP + (width + GAP) * k + width / 2 - 0.5 for k in range(self.columns)]
            axes.set_xticks(middles, self.above)
        if self.beside:
            rows = len(self.cells) // self.columns // len(self.beside)
            step = (height + GAP) * rows
            middles = [GAP + step * k + height / 2 - 0.5 for k in range(len(self.beside))]
            axes.set_yticks(middles, self.beside)
        axes.tick_params(length=0, labelsize=9)
        return figure, axes


def grid(count: int, columns: int) -> Sheet:
    """Images in their order, row by row."""
    rows = math.ceil(count / columns)
    cells = torch.full((rows * columns,), -1)
    cells[:count] = torch.arange(count)
    return Sheet(cells, columns)


def class_texts(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """Labels as people read them: `names` are those of the classes, and may be empty."""
    return [f"{names[k]} {k}" if names else str(k) for k in labels]


def by_class(labels: Tensor, names: Sequence[str] = (), most: int = MAX_GRID) -> tuple[Sheet, int]:
    """A row for each class (or several, if its images are many), with its label.

    A few classes of one image each stand in one row instead.

    Args:
        labels: of the images, int64 (N,).
        most: images in all, about.

    Returns:
        The sheet, and how many of each class are on it at most.
    """
    found = labels.unique().tolist()
    largest = int(labels.bincount().max())
    columns = min(largest, CLASS_COLUMNS)
    each = min(math.ceil(largest / columns), max(1, most // columns // len(found))) * columns
    cells = torch.full((len(found), each), -1)
    for row, label in zip(cells, found, strict=True):
        of_class = (labels == label).nonzero()[:each, 0]
        row[: len(of_class)] = of_class
    texts = class_texts(found, names)
    if each == 1 and len(found) <= CLASS_COLUMNS:
        above = [text.replace(" ", "\n") for text in texts]
        return Sheet(cells.flatten(), len(found), above=above), each
    return Sheet(cells.flatten(), columns, beside=texts), each


def figure_for(
    canvas: np.ndarray, zoom: float, header: float, margin: float
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


def wrapped(title: str, inches: float) -> list[str]:
    """A title in lines that fit into so many inches."""
    return textwrap.wrap(title, int(inches / LETTER)) or [""]


def save_sheet(sheet: Sheet, pixels: Tensor, path: Path, title: str) -> None:
    width = sheet.columns * (pixels.shape[2] + GAP)
    zoom = max(1, min(4, 900 // width))
    lines = wrapped(title, max(zoom * width / DPI, MIN_WIDTH))
    figure, axes = sheet.draw(pixels, zoom, header=0.1 + LINE * len(lines))
    axes.set_title("\n".join(lines), fontsize=9)
    save_figure(figure, path)


def save_grid(pixels: Tensor, path: Path, title: str) -> None:
    """A square grid of samples; of more than `MAX_GRID` only the first, which the title tells."""
    total = len(pixels)
    if total > MAX_GRID:
        pixels = pixels[:MAX_GRID]
        title = f"{title} (the first {MAX_GRID:,} of {total:,})"
    columns = math.ceil(math.sqrt(len(pixels)))
    save_sheet(grid(len(pixels), columns), pixels, path, title)


def save_classes(
    pixels: Tensor, labels: Tensor, names: Sequence[str], path: Path, title: str
) -> None:
    """Samples in rows by their labels (N,), see `by_class`."""
    sheet, each = by_class(labels, names)
    if int(labels.bincount().max()) > each:
        title = f"{title} (the first {each:,} of each class)"
    save_sheet(sheet, pixels, path, title)


def save_rows(rows: Sequence[tuple[str, Tensor]], path: Path, title: str) -> None:
    """One row of images, uint8 (N, H, W), for each text that stands beside it."""
    texts, images = zip(*rows, strict=True)
    sheet = replace(grid(sum(map(len, images)), len(images[0])), beside=texts)
    save_sheet(sheet, torch.cat(images), path, title)


def save_panels(
    panels: Tensor, captions: Sequence[str], path: Path, title: str, beside: Sequence[str] = ()
) -> None:
    """Images over time: one row an image, one column a time.

    Args:
        panels: uint8 (times, images, H, W).
        captions: what stands above each column.
        beside: what stands beside each row.
    """
    times, images = panels.shape[:2]
    sheet = replace(grid(times * images, times), above=captions, beside=beside)
    figure, _ = sheet.draw(panels.transpose(0, 1).flatten(0, 1), zoom=2.5, header=0.38)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / figure.get_figheight(), va="top")
    save_figure(figure, path)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    teens = 10 < number % 100 < 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def save_loss_curve(losses: Sequence[float], epoch_ends: Sequence[int], path: Path) -> None:
    """The loss of each step, its smoothed course, and where epochs end.

    Args:
        losses: one for each step, from step 1.
        epoch_ends: the steps after which an epoch ended.
    """
    figure = Figure(figsize=(7, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    every = max(1, math.ceil(len(epoch_ends) / 50))
    epochs = "end of an epoch" if every == 1 else f"end of every {ordinal(every)} epoch"
    for i, end in enumerate(epoch_ends[every - 1 :: every]):
        axes.axvline(end, color="0.85", linewidth=0.8, label=None if i else epochs)
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.7, label="each step")
    reach = min(max(1, len(losses) // 100), (len(losses) - 1) // 2)
    label = f"mean over {2 * reach + 1} steps"
    axes.plot(steps[reach : len(steps) - reach], smooth(losses, reach), "tab:blue", label=label)
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
    """Means of each value with `reach` values on either side; without the ends, which lack some.

    A mean over fewer values there would jump about with each of them.
    """
    sums = np.cumsum([0.0, *values])
    width = 2 * reach + 1
    return (sums[width:] - sums[:-width]) / width


def evenly_spaced(count: int, total: int) -> list[int]:
    """Up to `count` indices spread over range(total), the first and the last among them."""
    if total <= count:
        return list(range(total))
    return sorted({round(i) for i in torch.linspace(0, total - 1, count).tolist()})
