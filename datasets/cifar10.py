"""CIFAR-10: the binary version of its archive, which torchvision downloads if necessary.

A record is one byte for the label and 3072 for the pixels: 32 rows of 32 for red, then for green,
then for blue (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images").
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
SIZE = 32  # pixels, height and width of an image
SHAPE = (3, SIZE, SIZE)  # of one image, both in a file and for a network
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
    int64 (N,); downloaded if necessary.

    Raises:
        DatasetUnavailable: a file is not on disk, and the archive cannot be downloaded.
        InputError: the files are damaged; the message names the file.
    """
    paths = [data_dir / FOLDER / name for name in (TRAIN_FILES if train else TEST_FILES)]
    if not all(path.is_file() for path in paths):
        download(data_dir)
    records = np.concatenate([read_records(path) for path in paths])[:count]
    pixels = records[:, 1:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
    labels = records[:, 0].astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels)


def read_records(path: Path) -> np.ndarray:
    """The labels and pixels of a file, uint8 (N, 3073), after some checks.

    Raises:
        InputError: the file is empty, ends within a record, or has labels of unknown classes.
    """
    advice = "delete it to download it again"
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path} is empty; {advice}")
    if size % RECORD != 0:
        raise InputError(
            f"{path} is damaged: its {size} bytes are not a multiple of {RECORD}, the size of an"
            f" image with its label; {advice}"
        )
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD)
    largest = records[:, 0].max()
    if largest >= len(CLASS_NAMES):
        raise InputError(
            f"{path} is not a CIFAR-10 file: it has the label {largest}, above"
            f" {len(CLASS_NAMES) - 1}; {advice}"
        )
    return records


def download(data_dir: Path) -> None:
    """Download the archive, and add the missing files to the folder of datasets.

    The archive is downloaded and unpacked in a temporary folder before files are moved to their
    places. So these files are complete, however a download ends.

    Raises:
        DatasetUnavailable: the download failed, nothing arrived for some time, or the archive lacks
            a file.
    """
    folder = data_dir / FOLDER
    ways_out = (
        f"Unpack {URL} into {data_dir}, or point --data_dir to a folder that contains {FOLDER}, or"
        " use --dataset sprites (in colour) or digits, which need no download."
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
