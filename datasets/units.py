"""Units: the conversion between data and the x that the network sees.

Data are pixels from 0 to 255, or points in their own coordinates. For the network, all are scaled
to about the same size. `make_units` chooses the units that a configuration describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Units(Protocol):
    """Converts data (N, ...) to x (N, *shape), and back."""

    shape: tuple[int, ...]  # of one example x

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The range of the numbers in x; None if they are not bounded."""

    def to_model(self, data: Tensor) -> Tensor:
        """Data (N, ...) to x (N, *shape), on the same device."""

    def to_data(self, x: Tensor) -> Tensor:
        """x (N, *shape) to data, on the CPU."""

    def facts(self) -> dict[str, Any]:
        """The settings from which `make_units` makes the same units, ready for JSON."""


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, C) in [0, 255] -> float32 (N, 1 or C, H, W) in [-1, 1]."""
    pixels = pixels[:, None] if pixels.dim() == 3 else pixels.movedim(-1, 1).contiguous()
    return pixels.float().div_(127.5).sub_(1)


def to_pixels(x: Tensor) -> Tensor:
    """The inverse of `to_unit`: float (N, C, H, W) -> uint8 (N, H, W), or (N, H, W, C) for C > 1.

    Values outside [-1, 1] are clipped.
    """
    x = x[:, 0] if x.shape[1] == 1 else x.movedim(1, -1).contiguous()
    return x.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


class ImageUnits:
    """Images: x is float32 (N, C, H, W) in [-1, 1], with one channel (grey) or three (RGB).

    Data are uint8 (N, H, W) for one channel or (N, H, W, 3) for three.

    Args:
        shape: of one image x, (channels, height, width).
    """

    value_range = (-1.0, 1.0)

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def to_model(self, data: Tensor) -> Tensor:
        return to_unit(data)

    def to_data(self, x: Tensor) -> Tensor:
        return to_pixels(x).cpu()

    def facts(self) -> dict[str, Any]:
        known = {"kind": "images", "shape": list(self.shape)}
        return {**known, "value_range": list(self.value_range)}


class PointUnits:
    """2-D points: to get x, data are shifted by a mean and divided by one scale.

    Both data and x are float32 (N, 2).

    Args:
        mean: (x, y) of the training data.
        scale: root mean square deviation of the training data from the mean, over both axes; it is
            one number, so that a circle stays a circle.
    """

    shape: tuple[int, ...] = (2,)
    value_range = None

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

    def facts(self) -> dict[str, Any]:
        known = {"kind": "points", "shape": list(self.shape), "value_range": None}
        return {**known, "mean": self.mean.tolist(), "scale": self.scale}


def make_units(config: Mapping[str, Any]) -> ImageUnits | PointUnits:
    """The units in a run's configuration: for images, or for points with their mean and scale."""
    if config["kind"] == "images":
        return ImageUnits(config["shape"])
    return PointUnits(config["mean"], config["scale"])
