"""What differs between images and points: shape, clipping, units, files and pictures.

The scripts and the training loop work on tensors x of any shape. A *space* turns data into such
tensors and back, and draws them. `make_space` picks the one that a configuration describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import plots.animation
import plots.images
import plots.points
from datasets import CLASS_NAMES, IMAGE_SIZE, to_pixels, to_unit
from system.files import atomic_write, write_through_memory


class Space(Protocol):
    """Data as people see it, on one side; x as the network sees it, on the other."""

    shape: tuple[int, ...]  # of one example x
    few: int  # examples that are enough to show a process side by side

    def to_model(self, data: Tensor) -> Tensor:
        """Data (N, ...) to x (N, *shape)."""

    def to_data(self, x: Tensor) -> Tensor:
        """x (N, *shape) to data, on the CPU."""

    def write(self, data: Tensor, path: Path, title: str, labels: Tensor | None = None) -> None:
        """Write samples in the format that the suffix of `path` names.

        Pictures, here and below, show the labels of the examples: (N,), int64.
        """

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
            progress: the filled share of its bar at each frame; None: from 0 to 1.
        """


def write_array(data: Tensor, path: Path) -> None:
    write_through_memory(path, lambda file: np.save(file, data.numpy()))


class ImageSpace:
    """Grey images: data are uint8 (N, 28, 28), x is float32 (N, 1, 28, 28) in [-1, 1].

    Args:
        class_names: for pictures, where they say more than the label.
    """

    shape: tuple[int, ...] = (1, IMAGE_SIZE, IMAGE_SIZE)
    few = 8

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = class_names

    def to_model(self, data: Tensor) -> Tensor:
        return to_unit(data)

    def to_data(self, x: Tensor) -> Tensor:
        return to_pixels(x).cpu()

    def write(self, data: Tensor, path: Path, title: str, labels: Tensor | None = None) -> None:
        if path.suffix.lower() == ".png":
            if labels is None:
                plots.images.save_grid(data, path, title)
            else:
                plots.images.save_classes(data, labels.cpu(), self.class_names, path, title)
        else:
            write_array(data, path)

    def draw_panels(
        self,
        panels: Sequence[Tensor],
        captions: Sequence[str],
        path: Path,
        title: str,
        labels: Tensor | None = None,
    ) -> None:
        beside = (
            [] if labels is None else plots.images.class_texts(labels.tolist(), self.class_names)
        )
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
        sheet = None if labels is None else plots.images.by_class(labels.cpu(), self.class_names)[0]
        plots.animation.save_animation(frames, captions, path, title, sheet, progress)


class PointSpace:
    """2-D points: data are in their own units; x is shifted by a mean and divided by one scale.

    Both are float32 (N, 2).

    Args:
        mean: (x, y) of the training data.
        scale: root mean square distance of the training data from it, per axis; one number, so
            that a circle stays a circle.
    """

    shape: tuple[int, ...] = (2,)
    few = 2000
    REACH = 2.9  # scales around the mean that pictures show: all of the data, most of the noise

    def __init__(self, mean: Sequence[float], scale: float) -> None:
        self.mean = torch.tensor(mean, dtype=torch.float32)
        self.scale = scale
        (x, y), reach = mean, self.REACH * scale
        self.limits = (x - reach, x + reach, y - reach, y + reach)

    @classmethod
    def standardising(cls, points: Tensor) -> PointSpace:
        """The space in which `points` (N, 2) have mean 0 and variance 1 (averaged over axes)."""
        mean = points.double().mean(0)
        scale = (points.double() - mean).square().mean().sqrt().item()
        return cls(mean.tolist(), scale)

    def to_model(self, data: Tensor) -> Tensor:
        return (data - self.mean.to(data.device)) / self.scale

    def to_data(self, x: Tensor) -> Tensor:
        return x.float().cpu() * self.scale + self.mean

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
        plots.points.save_scatter_animation(
            *(frames, captions, path, title, self.limits),
            *(None if labels is None else labels.cpu(), progress),
        )


def make_space(config: Mapping[str, Any]) -> Space:
    """The space of a run's configuration: `kind` images, or points with their mean and scale."""
    if config["kind"] == "images":
        return ImageSpace(CLASS_NAMES.get(config["dataset"], ()))
    return PointSpace(config["mean"], config["scale"])
