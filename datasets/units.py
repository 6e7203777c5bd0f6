"""Units: between data as people see them and x as the network sees it.

Data are pixels from 0 to 255, or points in coordinates of their own. What the network sees is of
about the same size for all of them. `make_units` picks the units that a configuration describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from datasets import IMAGE_SIZE, to_pixels, to_unit


class Units(Protocol):
    """Data (N, ...) to x (N, *shape), and back."""

    shape: tuple[int, ...]  # of one example x

    def to_model(self, data: Tensor) -> Tensor:
        """Data (N, ...) to x (N, *shape), on the same device."""

    def to_data(self, x: Tensor) -> Tensor:
        """x (N, *shape) to data, on the CPU."""


class ImageUnits:
    """Grey images: data are uint8 (N, 28, 28), x is float32 (N, 1, 28, 28) in [-1, 1]."""

    shape: tuple[int, ...] = (1, IMAGE_SIZE, IMAGE_SIZE)

    def to_model(self, data: Tensor) -> Tensor:
        return to_unit(data)

    def to_data(self, x: Tensor) -> Tensor:
        return to_pixels(x).cpu()


class PointUnits:
    """2-D points: data are in their own units; x is shifted by a mean and divided by one scale.

    Both are float32 (N, 2).

    Args:
        mean: (x, y) of the training data.
        scale: root mean square distance of the training data from it, per axis; one number, so
            that a circle stays a circle.
    """

    shape: tuple[int, ...] = (2,)

    def __init__(self, mean: Sequence[float], scale: float) -> None:
        self.mean = torch.tensor(mean, dtype=torch.float32)
        self.scale = scale

    @classmethod
    def standardising(cls, points: Tensor) -> PointUnits:
        """The units in which `points` (N, 2) have mean 0 and variance 1 (averaged over axes)."""
        mean = points.double().mean(0)
        scale = (points.double() - mean).square().mean().sqrt().item()
        return cls(mean.tolist(), scale)

    def to_model(self, data: Tensor) -> Tensor:
        return (data - self.mean.to(data.device)) / self.scale

    def to_data(self, x: Tensor) -> Tensor:
        return x.float().cpu() * self.scale + self.mean


def make_units(config: Mapping[str, Any]) -> Units:
    """The units of a run's configuration: of images, or of points with their mean and scale."""
    if config["kind"] == "images":
        return ImageUnits()
    return PointUnits(config["mean"], config["scale"])
