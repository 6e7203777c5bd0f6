"""Pictures of images: grids of samples, rows of classes, panels over time.

Images come in as uint8 tensors, (N, H, W) on one grey scale (0 black, 255 white) or (N, H, W, 3) in
RGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from plots.figures import DPI, LETTER, LINE, literal, save_figure, wrapped

GAP = 2  # pixels between images, before zooming
PAPER = 255  # colour of the gaps
MAX_GRID = 2500  # images in one picture
CLASS_COLUMNS = 20  # most images of a class side by side
RIGHT = 0.35  # most inches left free on the right, to balance texts on the left
LONGEST_NAME = 24  # characters of the name of a class in a picture
MIN_WIDTH = 5.2  # inches, so that the titles fit above small pictures
PANEL_ZOOM, PANEL_WIDTH = 2.5, 80  # of an image over time: enlargement, and most pixels across


def tile(pixels: Tensor, columns: int) -> np.ndarray:
    """Images, row by row, as one large image with gaps between and around them.

    uint8 (N, H, W) becomes (height, width), (N, H, W, 3) becomes (height, width, 3).
    """
    rows = math.ceil(len(pixels) / columns)
    height, width, colours = pixels.shape[1] + GAP, pixels.shape[2] + GAP, pixels.shape[3:]
    cells = np.full((rows * columns, height, width, *colours), PAPER, dtype=np.uint8)
    cells[: len(pixels), GAP:, GAP:] = pixels.numpy()
    grid = cells.reshape(rows, columns, height, width, *colours).swapaxes(1, 2)
    sheet = grid.reshape(rows * height, columns * width, *colours)
    return np.pad(sheet, [(0, GAP), (0, GAP), (0, 0)][: sheet.ndim], constant_values=PAPER)


@dataclass(frozen=True)
class Sheet:
    """Which image stands where in a picture, and the texts beside and above the images.

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
        """Images in their places."""
        empty = torch.full_like(pixels[:1], PAPER)
        return tile(torch.cat([pixels, empty])[self.cells], self.columns)

    def draw(self, pixels: Tensor, zoom: float, header: float) -> tuple[Figure, Axes]:
        """A figure with the images, enlarged `zoom` times, `header` inches below its top.

        The header is room for a title; room for the texts above the columns is added.
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


def shortened(name: str) -> str:
    """A name that fits beside images."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def class_texts(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """Labels as texts, with the names of their classes where those say more."""
    known = {k: literal(shortened(name)) for k, name in enumerate(names)}
    return [str(k) if known.get(k, str(k)) == str(k) else f"{known[k]} {k}" for k in labels]


def by_class(labels: Tensor, names: Sequence[str] = (), most: int = MAX_GRID) -> tuple[Sheet, int]:
    """A row for each class (or several rows, if it has many images), with its label.

    A few classes of one image each stand in one row instead.

    Args:
        labels: of the images, int64 (N,).
        most: images in all, about.

    Returns:
        The sheet, and how many images of a class it has at most.
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
    """A figure with a tiled image, enlarged `zoom` times.

    Args:
        header, margin: inches above the image and to its left; to its right, `RIGHT` at most.
    """
    height, width = (side * zoom / DPI for side in canvas.shape[:2])
    needed = margin + width + min(margin, RIGHT)
    full_width = max(needed, MIN_WIDTH)
    figure = Figure(figsize=(full_width, height + header), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left = (margin + (full_width - needed) / 2) / full_width
    axes = figure.add_axes((left, 0, width / full_width, height / (height + header)), frameon=False)
    show(axes, canvas, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure, axes


def show(axes: Axes, image: np.ndarray, aspect: Literal["equal", "auto"] = "equal") -> None:
    """Draw an image, uint8 (H, W) in grey or (H, W, 3) in RGB, without smoothing its pixels."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)


def save_sheet(sheet: Sheet, pixels: Tensor, path: Path, title: str) -> None:
    width = sheet.columns * (pixels.shape[2] + GAP)
    zoom = max(1, min(4, 900 // width))
    lines = wrapped(title, max(zoom * width / DPI, MIN_WIDTH))
    figure, axes = sheet.draw(pixels, zoom, header=0.1 + LINE * len(lines))
    axes.set_title("\n".join(lines), fontsize=9)
    save_figure(figure, path)


def save_grid(pixels: Tensor, path: Path, title: str) -> None:
    """A square grid of samples; only of the first `MAX_GRID`, as the title then says."""
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
    """Rows of images, each with a text beside it."""
    texts, images = zip(*rows, strict=True)
    sheet = replace(grid(sum(map(len, images)), len(images[0])), beside=texts)
    save_sheet(sheet, torch.cat(images), path, title)


def save_panels(
    panels: Tensor, captions: Sequence[str], path: Path, title: str, beside: Sequence[str] = ()
) -> None:
    """Images over time: a row for each image, a column for each time.

    Args:
        panels: images, (times, images, H, W) or (times, images, H, W, 3).
        captions: a text above each column.
        beside: a text beside each row.
    """
    times, images = panels.shape[:2]
    sheet = replace(grid(times * images, times), above=captions, beside=beside)
    zoom = max(1.0, min(PANEL_ZOOM, PANEL_WIDTH / panels.shape[3]))
    figure, _ = sheet.draw(panels.transpose(0, 1).flatten(0, 1), zoom, header=0.38)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / figure.get_figheight(), va="top")
    save_figure(figure, path)
