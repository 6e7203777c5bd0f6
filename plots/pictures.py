"""How examples are drawn, images on sheets and points on axes, and how samples are written.

`make_pictures` picks the class for the units of the data; all have the methods of `Pictures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

import plots.animation
import plots.images
import plots.points
from datasets.units import ImageUnits, PointUnits, Units
from system.files import atomic_write, write_through_memory


class Pictures(Protocol):
    """Draws data; pictures show the labels of the examples, int64 (N,), if they are given."""

    units: Units
    kind: str  # `images` or `points`
    few: int  # examples that are enough to show a process side by side
    most: int  # examples that a picture of a process shows
    least: int | None  # examples that make a picture: one image, or all points (None)

    def write(self, data: Tensor, path: Path, title: str, labels: Tensor | None = None) -> None:
        """Write samples in the format that the suffix of `path` names."""

    def draw_small(self, axes: Axes, data: Tensor) -> None:
        """Draw the `least` examples on the given axes."""

    def draw_panels(
        self,
        panels: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
    ) -> None:
        """A still of the same examples at several times, each with its caption."""

    def draw_animation(
        self,
        frames: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
        progress: Sequence[float] | None = None,
    ) -> None:
        """A GIF of the same examples at many times, in the places that `write` gives them.

        Args:
            progress: the filled share of the bar at each frame; None: from 0 to 1.
        """


def write_array(data: Tensor, path: Path) -> None:
    write_through_memory(path, lambda file: np.save(file, data.numpy()))


class ImagePictures:
    """Images on a grid, or in rows by class.

    Args:
        class_names: shown in pictures where they say more than the label.
    """

    kind = "images"
    few, most = 8, 100
    least: int | None = 1

    def __init__(self, units: ImageUnits, class_names: Sequence[str] = ()) -> None:
        self.units: Units = units
        self.class_names = class_names

    def write(self, data: Tensor, path: Path, title: str, labels: Tensor | None = None) -> None:
        if path.suffix.lower() != ".png":
            write_array(data, path)
        elif labels is None:
            plots.images.save_grid(data, path, title)
        else:
            plots.images.save_classes(data, labels.cpu(), self.class_names, path, title)

    def draw_small(self, axes: Axes, data: Tensor) -> None:
        plots.images.show(axes, data[0].numpy())

    def draw_panels(
        self,
        panels: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
    ) -> None:
        names = self.class_names
        beside = [] if labels is None else plots.images.class_texts(labels.tolist(), names)
        plots.images.save_panels(torch.stack(list(panels)), captions, path, title, beside)

    def draw_animation(
        self,
        frames: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
        progress: Sequence[float] | None = None,
    ) -> None:
        names = self.class_names
        sheet = None if labels is None else plots.images.by_class(labels.cpu(), names)[0]
        plots.animation.save_animation(frames, captions, path, title, sheet, progress)


class PointPictures:
    """Points on axes that show the data and most of the noise around them, coloured by label.

    Attributes:
        limits: of the axes: left, right, bottom, top, in the data's units.
    """

    kind = "points"
    few, most = 2000, 2000
    least: int | None = None
    REACH = 2.9  # scales around the mean: all of the data, most of the noise

    def __init__(self, units: PointUnits) -> None:
        self.units: Units = units
        (x, y), reach = units.mean.tolist(), self.REACH * units.scale
        self.limits = (x - reach, x + reach, y - reach, y + reach)

    def shows(self, data: Tensor) -> Tensor:
        """Which points (N, 2) are within `limits`: bool (N,)."""
        left, right, bottom, top = self.limits
        x, y = data.unbind(1)
        return (left < x) & (x < right) & (bottom < y) & (y < top)

    def write(self, data: Tensor, path: Path, title: str, labels: Tensor | None = None) -> None:
        suffix = path.suffix.lower()
        if suffix == ".png":
            plots.points.save_scatter(data, path, title, self.limits, labels)
        elif suffix == ".npy":
            write_array(data, path)
        else:
            with atomic_write(path) as temporary:
                np.savetxt(
                    temporary, data.numpy(), "%.9g", delimiter=",", header="x,y", comments=""
                )

    def draw_small(self, axes: Axes, data: Tensor) -> None:
        plots.points.draw_density(plots.points.bare_axes(axes, self.limits), data, self.limits)

    def draw_panels(
        self,
        panels: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
    ) -> None:
        labels = None if labels is None else labels.cpu()
        plots.points.save_scatter_panels(panels, captions, path, title, self.limits, labels)

    def draw_animation(
        self,
        frames: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
        progress: Sequence[float] | None = None,
    ) -> None:
        labels = None if labels is None else labels.cpu()
        plots.points.save_scatter_animation(
            frames, captions, path, title, self.limits, labels, progress
        )


def make_pictures(units: Units, class_names: Sequence[str] = ()) -> ImagePictures | PointPictures:
    """The pictures for data in these units."""
    if isinstance(units, PointUnits):
        return PointPictures(units)
    assert isinstance(units, ImageUnits)
    return ImagePictures(units, class_names)
