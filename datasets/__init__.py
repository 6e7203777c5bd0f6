"""The data: what a dataset is, and how each is loaded. Examples are images or 2-D points.

Images stay uint8 until a batch is used (47 MB instead of 188 MB for MNIST, so that a whole dataset
fits on any device). The units of `datasets.units` then map a batch to [-1, 1] for the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.cifar10 import CLASS_NAMES as CIFAR10
from datasets.cifar10 import SHAPE as CIFAR10_SHAPE
from datasets.cifar10 import load_cifar10
from datasets.digits import SHAPE as DIGITS_SHAPE
from datasets.digits import make_digits
from datasets.downloads import DatasetUnavailable
from datasets.drawings import read_drawing, resample
from datasets.mnist import SHAPE as MNIST_SHAPE
from datasets.mnist import load_torchvision
from datasets.own import load_own
from datasets.pictures import fitted
from datasets.settings import AS_THEY_ARE, ImageSettings, PointSettings
from datasets.shapes import make_shape
from datasets.sprites import CLASS_NAMES as SPRITES
from datasets.sprites import SHAPE as SPRITES_SHAPE
from datasets.sprites import make_sprites
from datasets.units import ImageUnits, PointUnits
from names import is_drawing, is_points

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


class ImageSet(NamedTuple):
    """A built-in dataset of images: all that is known about it without loading it.

    Attributes:
        load: a function (folder of datasets, train, count) that returns images, uint8 (N, H, W) or
            (N, H, W, 3), and labels, int64 (N,): the first `count`, or all if None, of the training
            or the test split.
        shape: of one image as the network sees it, (channels, height, width).
        class_names: a name for each label.
        symmetric: whether mirrored images are as realistic as the originals.
    """

    load: Callable[[Path, bool, int | None], tuple[Tensor, Tensor]]
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    symmetric: bool = False


def first_of(name: str, data_dir: Path, train: bool, count: int | None) -> tuple[Tensor, Tensor]:
    """The first `count` images of one split of a torchvision dataset, and their labels."""
    pixels, labels = load_torchvision(name, data_dir, train)
    return pixels[:count], labels[:count]


def drawn(
    make: Callable[[bool, int | None], tuple[Tensor, Tensor]],
) -> Callable[[Path, bool, int | None], tuple[Tensor, Tensor]]:
    """The `load` of images that are drawn by code, which needs no folder of datasets."""
    return lambda data_dir, train, count: make(train, count)


IMAGES = {  # the sets of points are in `shapes.SHAPES`
    "mnist": ImageSet(partial(first_of, "mnist"), MNIST_SHAPE, DIGITS),
    "fashion_mnist": ImageSet(partial(first_of, "fashion_mnist"), MNIST_SHAPE, CLOTHES, True),
    "cifar10": ImageSet(load_cifar10, CIFAR10_SHAPE, CIFAR10, True),
    "digits": ImageSet(drawn(make_digits), DIGITS_SHAPE, DIGITS),
    "sprites": ImageSet(drawn(make_sprites), SPRITES_SHAPE, SPRITES, True),
}


@dataclass(frozen=True)
class Dataset:
    """Examples with labels.

    Attributes:
        name: as given to --dataset.
        examples: images, uint8 (N, H, W) for one channel or (N, H, W, 3) for three, or points,
            float32 (N, 2) in their own units.
        labels: int64 (N,).
        class_names: a name for each label; empty if classes have no names.
        symmetric: whether mirrored images are as realistic as the originals.
    """

    name: str
    examples: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()
    symmetric: bool = False

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def kind(self) -> str:
        """`images` or `points`."""
        return "points" if self.examples.is_floating_point() else "images"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example x: (channels, height, width), or (2,) for points."""
        if self.kind == "points":
            return tuple(self.examples.shape[1:])
        height, width, *channels = self.examples.shape[1:]
        return (*(channels or (1,)), height, width)

    @property
    def classes(self) -> int:
        """The number of classes, including those without examples."""
        return len(self.class_names) or int(self.labels.max()) + 1

    def units(self) -> ImageUnits | PointUnits:
        """The units in which a network sees these data."""
        if self.kind == "points":
            return PointUnits.standardising(self.examples)
        return ImageUnits(self.shape)

    def facts(self) -> dict[str, Any]:
        """The part of a run's configuration that describes these data, ready for JSON."""
        return {**self.units().facts(), "class_names": list(self.class_names)}

    def digest(self) -> str:
        """A fingerprint of the examples and labels."""
        found = hashlib.sha256(self.examples.numpy().tobytes())
        found.update(self.labels.numpy().tobytes())
        return found.hexdigest()


def load_dataset(
    name: str | None,
    data_dir: Path,
    subset: int | None,
    points: PointSettings,
    images: ImageSettings = AS_THEY_ARE,
) -> Dataset:
    """The training data of that name, or their first `subset` examples.

    Args:
        name: a dataset of images, see `load_images`, or of points, see `load_points`.
        data_dir: the folder of image datasets.
        points: how a set of points is made; ignored for images.
        images: how images are made; ignored for points.

    Raises:
        InputError: see `load_images` and `load_points`.
    """
    if name is not None and is_points(name):
        data = load_points(name, points.num_points, points.jitter or 0.0, points.seed)
        return Dataset(data.name, data.examples[:subset], data.labels[:subset])
    return load_images(name, data_dir, subset=subset, settings=images)


def load_images(
    name: str | None,
    data_dir: Path,
    train: bool = True,
    subset: int | None = None,
    settings: ImageSettings = AS_THEY_ARE,
) -> Dataset:
    """The training (or test) split of an image dataset, or its first `subset` images.

    Args:
        name: one of `IMAGES`, or the path of the user's own images, see `own.load_own`. None means
            mnist, or, if mnist is not on disk and cannot be downloaded, digits (with a message).

    Raises:
        DatasetUnavailable: a named dataset is not on disk and cannot be downloaded.
        InputError: its files are damaged; the message names the file.
    """
    if name is not None and name not in IMAGES:
        pixels, labels, names = load_own(Path(name), data_dir, train, settings)
        return Dataset(name, pixels[:subset], labels[:subset], names, settings.flip)
    source = IMAGES[name or "mnist"]
    try:
        pixels, labels = source.load(data_dir, train, subset)
    except DatasetUnavailable as error:
        if name is not None:
            raise
        why = f" ({error.reason})" if error.reason else ""
        print(f"MNIST is not on disk and could not be downloaded{why}; using the built-in digits.")
        return load_images("digits", data_dir, train, subset, settings)
    side = settings.image_size or source.shape[-1]
    pixels = torch.from_numpy(fitted(pixels.numpy(), side, settings.channels))
    return Dataset(name or "mnist", pixels, labels, source.class_names, source.symmetric)


def load_points(name: str, count: int, jitter: float, seed: int) -> Dataset:
    """A set of `count` points: one of `shapes.SHAPES`, or the user's own drawing (a file).

    Args:
        jitter: noise added to the points of a drawing, as a share of their spread.

    Raises:
        InputError: the drawing cannot be read.
    """
    if not is_drawing(name):
        points, labels = make_shape(name, count, seed)
        return Dataset(name, torch.from_numpy(points), torch.from_numpy(labels))
    rng = np.random.default_rng(seed)
    drawn = resample(read_drawing(Path(name), rng), count, jitter, rng)
    return Dataset(name, torch.from_numpy(drawn).float(), torch.zeros(count, dtype=torch.int64))
