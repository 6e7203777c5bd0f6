"""MNIST and Fashion-MNIST: IDX files on disk, which torchvision downloads if necessary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.downloads import run_download
from system.errors import InputError

# Our name -> (torchvision class, name in messages). The folder has the name of the class.
TORCHVISION = {"mnist": ("MNIST", "MNIST"), "fashion_mnist": ("FashionMNIST", "Fashion-MNIST")}
SIZE = 28  # pixels, height and width of an image
SHAPE = (1, SIZE, SIZE)
IMAGE_MAGIC, LABEL_MAGIC = (0x0803, 0x0801)  # IDX format: 08 = uint8, then the number of dimensions


def load_torchvision(name: str, data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Pixels, uint8 (N, 28, 28), and labels, int64 (N,), of one split; downloaded if necessary.

    Args:
        name: one of `TORCHVISION`.

    Raises:
        DatasetUnavailable: it is not on disk and cannot be downloaded.
        InputError: its files are damaged; the message names the file.
    """
    raw = data_dir / TORCHVISION[name][0] / "raw"
    split = "train" if train else "t10k"
    paths = raw / f"{split}-images-idx3-ubyte", raw / f"{split}-labels-idx1-ubyte"
    if not all(path.is_file() for path in paths):
        download(name, data_dir)
    images_shape = check_idx(paths[0], IMAGE_MAGIC)
    labels_shape = check_idx(paths[1], LABEL_MAGIC)
    if images_shape[1:] != (SIZE, SIZE):
        raise InputError(
            f"{paths[0]} holds images of {images_shape[1:]} pixels, not {(SIZE, SIZE)}"
        )
    if images_shape[0] != labels_shape[0]:
        raise InputError(
            f"{paths[1]} holds {labels_shape[0]} labels for {images_shape[0]} images;"
            " delete the folder to download it again"
        )
    return read_idx(paths[0], images_shape), read_idx(paths[1], labels_shape).long()


def read_idx(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The data of an IDX file whose header has been checked: uint8 of that shape.

    torchvision could read it too, but takes two seconds to import.
    """
    header = 4 + 4 * len(shape)
    return torch.from_numpy(np.fromfile(path, dtype=np.uint8, offset=header)).view(shape)


def check_idx(path: Path, magic: int) -> tuple[int, ...]:
    """The shape in the header of an IDX file, after checking that the data are complete.

    Raises:
        InputError: the magic number is wrong, or the length of the file does not match the shape.
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
            f"{path} is not the expected IDX file (it begins with {words[0]:#010x}, not"
            f" {magic:#010x}); {advice}"
        )
    shape = tuple(words[1:])
    expected = len(header) + torch.Size(shape).numel()
    actual = path.stat().st_size
    if actual != expected:
        raise InputError(
            f"{path} is damaged: it has {actual} bytes instead of the {expected} given by its"
            f" header; {advice}"
        )
    if shape[0] == 0:
        raise InputError(f"{path} is empty: its header gives 0 examples; {advice}")
    return shape


def download(name: str, data_dir: Path) -> None:
    """Let torchvision download a dataset.

    Raises:
        DatasetUnavailable: the download failed, or nothing arrived for some time.
    """
    class_name, title = TORCHVISION[name]
    raw = data_dir / class_name / "raw"
    code = (
        "import sys, torchvision.datasets as d; getattr(d, sys.argv[1])(sys.argv[2], download=True)"
    )
    ways_out = (
        f"Put its four IDX files into {raw}, or point --data_dir to a folder that contains"
        f" {class_name}/raw, or use --dataset digits, which needs no download."
    )
    run_download(title, data_dir, ways_out, raw, (code, class_name, str(data_dir.absolute())))
