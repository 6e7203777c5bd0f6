"""Images from a NumPy file, .npy or .npz: uint8 (N, H, W) or (N, H, W, C)."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from datasets.sources import in_text
from system.errors import InputError
from system.memory import most_for_data
from system.values import MOST_CLASSES

IMAGES = ("images", "x", "arr_0")  # possible names of the images in an .npz, in this order
LABELS = ("labels", "y", "arr_1")


def read_array(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The images in a file, with their labels and class names.

    An .npz contains `images`, and optionally `labels` (integers or names) and `class_names`. The
    labels of `cats.npy` are in the file `cats_labels.npy` beside it.

    Returns:
        Images, uint8 (N, H, W) or (N, H, W, C), where C is 3, or 4 with transparency; labels, int64
        (N,), all 0 if the file has none; a name for each label, or no names.

    Raises:
        InputError: the file does not exist, is damaged, or contains no images.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about impossible sizes
            arrays = (read_npz if path.suffix.lower() == ".npz" else read_npy)(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damaged files can raise any error
        raise InputError(f"{path} cannot be read as arrays: {error}") from None
    images = next((arrays[name] for name in IMAGES if name in arrays), None)
    if images is None:
        raise InputError(f"{path} has no array named {', '.join(IMAGES[:-1])} or {IMAGES[-1]}")
    images = checked_images(images, path)
    labels = next((arrays[name] for name in LABELS if name in arrays), None)
    if labels is None:
        return images, np.zeros(len(images), dtype=np.int64), ()
    names = tuple(in_text(str(name)) for name in np.ravel(arrays.get("class_names", [])))
    return images, *checked_labels(labels, names, len(images), path)


def read_npy(path: Path) -> dict[str, np.ndarray]:
    """The array of a .npy file and, if there is one, the array of labels beside it.

    Raises:
        ValueError: the array would take too much memory.
    """
    # A memory-mapped array cannot be larger than its file.
    check_size(path.stat().st_size)
    arrays = {"images": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}
    beside = path.with_name(f"{path.stem}_labels.npy")
    if beside.is_file():
        arrays["labels"] = np.array(np.load(beside, mmap_mode="r", allow_pickle=False))
    return arrays


def check_size(size: int) -> None:
    """Make sure that a number of bytes is not too much for the memory.

    Raises:
        ValueError: it is more than `most_for_data` allows.
    """
    if size > most_for_data():
        raise ValueError(f"it takes {size / 1e9:.1f} GB, more than a third of the memory")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file.

    Raises:
        ValueError: the unpacked arrays would take too much memory.
    """
    with zipfile.ZipFile(path) as archive:
        check_size(sum(member.file_size for member in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        return {
            name: file[name] for name in file.files if name in (*IMAGES, *LABELS, "class_names")
        }


def checked_images(images: np.ndarray, path: Path) -> np.ndarray:
    """Images as uint8 (N, H, W) or (N, H, W, 3 or 4).

    Raises:
        InputError: the array has another type or shape.
    """
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    right = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (3, 4))
    if images.dtype != np.uint8 or not right or 0 in images.shape:
        raise InputError(
            f"{path} contains {images.dtype} {images.shape}; images must be uint8 (from 0 to 255),"
            " N x H x W, or N x H x W x 3 in colour"
        )
    return images


def checked_labels(
    labels: np.ndarray, names: tuple[str, ...], count: int, path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of `count` images, int64 (count,), and the names of the classes.

    Raises:
        InputError: they cannot be the labels of these images.
    """
    problem: Any = None
    if labels.shape != (count,):
        problem = f"labels {labels.shape} for {count:,} images"
    elif labels.dtype.kind == "U":
        found, labels = np.unique(labels, return_inverse=True)
        names = tuple(in_text(str(name)) for name in found)
    elif labels.dtype.kind not in "iu":
        problem = f"labels of type {labels.dtype}, not whole numbers or names"
    elif not 0 <= labels.min() <= labels.max() < (len(names) or MOST_CLASSES):
        problem = f"labels from {labels.min()} to {labels.max()}"
        problem += f" for {len(names)} class names" if names else ""
    if len(names) > MOST_CLASSES:
        problem = f"{len(names):,} classes; up to {MOST_CLASSES:,} are possible"
    if problem:
        raise InputError(f"{path} has {problem}")
    names = names or tuple(map(str, range(int(labels.max()) + 1)))
    return labels.astype(np.int64), names
