"""The data: images (MNIST, Fashion-MNIST, built-in digits) and sets of 2-D points.

Images stay uint8 until a batch is used (47 MB instead of 188 MB for MNIST, and a whole dataset
fits on any device); `to_unit` then maps a batch to [-1, 1], where the diffusion works.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.digits import make_digits
from datasets.drawings import read_drawing, resample
from datasets.shapes import make_shape
from names import is_drawing, is_points
from system.errors import InputError

# Our name -> (torchvision class, name for people). The class name is also its folder's name.
TORCHVISION = {"mnist": ("MNIST", "MNIST"), "fashion_mnist": ("FashionMNIST", "Fashion-MNIST")}
IMAGE_SIZE = 28
CLASS_NAMES = {
    "fashion_mnist": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )
}
IMAGE_MAGIC, LABEL_MAGIC = (0x0803, 0x0801)  # the IDX format: 08 = uint8, then the dimensions
PATIENCE = 20.0  # seconds without a new byte after which a download is given up


class DatasetUnavailable(InputError):
    """The dataset is neither on disk nor to be downloaded.

    Args:
        message: for the user.
        reason: why it could not be downloaded.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Dataset:
    """Examples with labels.

    Attributes:
        name: as given to --dataset.
        examples: images, uint8 (N, 28, 28), or points, float32 (N, 2) in their own units.
        labels: int64 (N,).
    """

    name: str
    examples: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def digest(self) -> str:
        """A fingerprint of the examples and labels."""
        found = hashlib.sha256(self.examples.numpy().tobytes())
        found.update(self.labels.numpy().tobytes())
        return found.hexdigest()


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W) in [0, 255] -> float32 (N, 1, H, W) in [-1, 1]."""
    return pixels[:, None].float().div_(127.5).sub_(1)


def to_pixels(x: Tensor) -> Tensor:
    """float (N, 1, H, W) in [-1, 1] -> uint8 (N, H, W); what lies outside is clipped."""
    return x[:, 0].float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def load_dataset(options: argparse.Namespace) -> Dataset:
    """The training data that a script's options ask for.

    Raises:
        InputError: as `load_images` and `load_points`.
    """
    if is_points(options.dataset or ""):
        data = load_points(options.dataset, options.num_points, options.jitter or 0.0, options.seed)
        return Dataset(data.name, data.examples[: options.subset], data.labels[: options.subset])
    return load_images(options.dataset, options.data_dir, subset=options.subset)


def load_images(
    name: str | None, data_dir: Path, train: bool = True, subset: int | None = None
) -> Dataset:
    """The training (or test) split of an image dataset, or its first `subset` images.

    Args:
        name: mnist, fashion_mnist or digits. None means mnist, or digits (with a line that says
            so) where mnist is neither on disk nor to be downloaded.

    Raises:
        DatasetUnavailable: a named dataset is not on disk and cannot be downloaded.
        InputError: its files are there but damaged; the message names the file.
    """
    if name == "digits":
        return Dataset(name, *make_digits(train, subset))
    try:
        pixels, labels = load_torchvision(name or "mnist", data_dir, train)
    except DatasetUnavailable as error:
        if name is not None:
            raise
        why = f" ({error.reason})" if error.reason else ""
        print(f"MNIST is not on disk and could not be downloaded{why}; using the built-in digits.")
        return load_images("digits", data_dir, train, subset)
    return Dataset(name or "mnist", pixels[:subset], labels[:subset])


def load_points(name: str, count: int, jitter: float, seed: int) -> Dataset:
    """A set of `count` points: one of `shapes.SHAPES`, or a person's own drawing (a file).

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


def load_torchvision(name: str, data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Pixels and labels of one split of a torchvision dataset, downloaded if need be."""
    raw = data_dir / TORCHVISION[name][0] / "raw"
    split = "train" if train else "t10k"
    paths = raw / f"{split}-images-idx3-ubyte", raw / f"{split}-labels-idx1-ubyte"
    if not all(path.is_file() for path in paths):
        download(name, data_dir)
    images_shape = check_idx(paths[0], IMAGE_MAGIC)
    labels_shape = check_idx(paths[1], LABEL_MAGIC)
    if images_shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise InputError(f"{paths[0]} holds images of {images_shape[1:]} pixels, not (28, 28)")
    if images_shape[0] != labels_shape[0]:
        raise InputError(
            f"{paths[1]} holds {labels_shape[0]} labels for {images_shape[0]} images;"
            " delete the folder to download it again"
        )
    return read_idx(paths[0], images_shape), read_idx(paths[1], labels_shape).long()


def read_idx(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The data of an IDX file whose header was checked: uint8 of that shape.

    torchvision could read it too, but takes two seconds to import.
    """
    header = 4 + 4 * len(shape)
    return torch.from_numpy(np.fromfile(path, dtype=np.uint8, offset=header)).view(shape)


def check_idx(path: Path, magic: int) -> tuple[int, ...]:
    """The shape that the header of an IDX file gives, after checking that the data is all there.

    Raises:
        InputError: wrong magic number, or a length that does not fit the shape.
    """
    dimensions = magic & 0xFF
    with path.open("rb") as file:
        header = file.read(4 + 4 * dimensions)
    words = [int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4)]
    advice = "delete it to download it again"
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path} is too short to be an IDX file; {advice}")
    if words[0] != magic:
        raise InputError(
            f"{path} is not the IDX file it should be (it begins with {words[0]:#010x}, not"
            f" {magic:#010x}); {advice}"
        )
    shape = tuple(words[1:])
    expected = len(header) + torch.Size(shape).numel()
    actual = path.stat().st_size
    if actual != expected:
        raise InputError(
            f"{path} is damaged: {actual} bytes instead of the {expected} that its header"
            f" promises; {advice}"
        )
    if shape[0] == 0:
        raise InputError(f"{path} is empty: its header promises no examples; {advice}")
    return shape


def download(name: str, data_dir: Path) -> None:
    """Let torchvision download a dataset, but give up when nothing arrives for `PATIENCE` seconds.

    It runs in a process of its own, since a thread that waits for a silent server (or for a name
    that does not resolve) cannot be stopped.
    """
    class_name, title = TORCHVISION[name]
    print(f"Downloading {title} to {data_dir} ...", flush=True)
    code = (
        "import sys, torchvision.datasets as d; getattr(d, sys.argv[1])(sys.argv[2], download=True)"
    )
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", code, class_name, str(data_dir)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            wait_while_growing(child, data_dir / class_name / "raw")
            ended = child.poll() is not None
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    if child.returncode != 0:
        last = next((line.strip() for line in reversed(said) if line.strip()), "no reason given")
        reason = last if ended else f"nothing arrived for {PATIENCE:g} seconds"
        raise DatasetUnavailable(
            f"{title} is not in {data_dir} and could not be downloaded ({reason}). Put its four IDX"
            f" files into {data_dir / class_name / 'raw'}, or point --data_dir to a folder that has"
            f" {class_name}/raw, or use --dataset digits, which needs no download.",
            reason,
        )


def wait_while_growing(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when `child` has ended, or when `folder` has not changed for `PATIENCE` seconds."""
    size, since = -2, time.monotonic()
    while child.poll() is None and time.monotonic() - since < PATIENCE:
        time.sleep(0.1)
        files = list(folder.iterdir()) if folder.is_dir() else None
        now = -1 if files is None else sum(file.stat().st_size for file in files)
        if now != size:
            size, since = now, time.monotonic()
