"""CIFAR-10: the binary version of its archive, which torchvision downloads if need be.

A record is a byte for the label and 3072 for the pixels: 32 rows of 32 in red, then in green, then
in blue (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images").
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.downloads import run_download, unavailable
from system.errors import InputError

TITLE = "CIFAR-10 (170 MB)"
SIZE = 32  # pixels, of both sides of an image
SHAPE = (3, SIZE, SIZE)  # of one image, in a file and as a network sees it
RECORD = 1 + 3 * SIZE * SIZE  # bytes of a label and an image
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"  # in the archive, and in the folder of datasets
TRAIN_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST_FILES = ("test_batch.bin",)
DOWNLOAD = """
import sys
from torchvision.datasets.utils import download_and_extract_archive
url, md5, folder = sys.argv[1:]
download_and_extract_archive(url, folder, md5=md5)
"""


def load_cifar10(data_dir: Path, train: bool, count: int | None) -> tuple[Tensor, Tensor]:
    """The first `count` images (None: all), uint8 (N, 32, 32, 3), of one split and their labels,
    int64 (N,); downloaded if need be.

    Raises:
        DatasetUnavailable: a file is not on disk, and the archive cannot be downloaded.
        InputError: the files are there but damaged; the message names the file.
    """
    paths = [data_dir / FOLDER / name for name in (TRAIN_FILES if train else TEST_FILES)]
    if not all(path.is_file() for path in paths):
        download(data_dir)
    records = np.concatenate([read_records(path) for path in paths])[:count]
    pixels = records[:, 1:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
    labels = records[:, 0].astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels)


def read_records(path: Path) -> np.ndarray:
    """The labels and pixels of a file, uint8 (N, 3073), after checking that they can be such.

    Raises:
        InputError: it is empty, ends within a record, or has labels of other classes.
    """
    advice = "delete it to download it again"
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path} is empty; {advice}")
    if size % RECORD != 0:
        raise InputError(
            f"{path} is damaged: its {size} bytes are not a multiple of {RECORD}, those of an image"
            f" with its label; {advice}"
        )
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD)
    largest = records[:, 0].max()
    if largest >= len(CLASS_NAMES):
        raise InputError(
            f"{path} is not a file of CIFAR-10: it has a label {largest}, above"
            f" {len(CLASS_NAMES) - 1}; {advice}"
        )
    return records


def download(data_dir: Path) -> None:
    """Download the archive, and add to the folder of datasets those files that it lacks.

    The archive arrives and is unpacked in a temporary folder, and only then files move to their
    places. So however a download ends, those that are in their places are whole.

    Raises:
        DatasetUnavailable: it failed, or nothing arrived for some time, or the archive is another.
    """
    folder = data_dir / FOLDER
    ways_out = (
        f"Unpack {URL} into {data_dir}, or point --data_dir to a folder that has {FOLDER}, or use"
        " --dataset sprites (in colour) or digits, which need no download."
    )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cifar-10-download-", dir=data_dir) as temporary:
            new = Path(temporary).absolute()  # torchvision takes a "~" for the home folder
            run_download(TITLE, data_dir, ways_out, new, (DOWNLOAD, URL, MD5, str(new)))
            files = [new / FOLDER / name for name in (*TRAIN_FILES, *TEST_FILES)]
            if missing := [file.name for file in files if not file.is_file()]:
                reason = f"the archive lacks {', '.join(missing)}"
                raise unavailable(TITLE, data_dir, ways_out, reason)
            folder.mkdir(exist_ok=True)
            for file in files:
                if not (folder / file.name).is_file():
                    file.replace(folder / file.name)
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
        raise unavailable(TITLE, data_dir, ways_out, reason) from None
