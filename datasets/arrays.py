"""Images that stand in a NumPy file already: uint8 (N, H, W) or (N, H, W, C) in .npy or .npz."""

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

IMAGES = ("images", "x", "arr_0")  # the names of an .npz under which its images are looked for
LABELS = ("labels", "y", "arr_1")


def read_array(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The images of a file, with their labels and the names of these.

    An .npz holds `images`, and may hold `labels` (whole numbers, or names) and `class_names`. The
    labels of `cats.npy` stand beside it, in `cats_labels.npy`.

    Returns:
        Images, uint8 (N, H, W) or (N, H, W, C), C being 3, or 4 with transparency; labels, int64
        (N,), all 0 if there are none; a name for each label, or none.

    Raises:
        InputError: the file is not there, damaged, or holds no images.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of sizes that no array has
            arrays = (read_npz if path.suffix.lower() == ".npz" else read_npy)(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damaged files fail in very many ways
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
    """The array of a .npy file and, if there are any, the labels beside it.

    Raises:
        ValueError: it would fill the memory.
    """
    # A mapped file cannot promise more than it holds.
    check_size(path.stat().st_size)
    arrays = {"images": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}
    beside = path.with_name(f"{path.stem}_labels.npy")
    if beside.is_file():
        arrays["labels"] = np.array(np.load(beside, mmap_mode="r", allow_pickle=False))
    return arrays


def check_size(size: int) -> None:
    """Refuse so many bytes where they would fill the memory.

    Raises:
        ValueError: saying so.
    """
    if size > most_for_data():
        raise ValueError(f"it takes {size / 1e9:.1f} GB, more than a third of the memory")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file.

    Raises:
        ValueError: unpacked they would fill the memory.
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
        InputError: they are none.
    """
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    right = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (3, 4))
    if images.dtype != np.uint8 or not right or 0 in images.shape:
        raise InputError(
            f"{path} holds {images.dtype} {images.shape}; images are uint8 (from 0 to 255),"
            " N x H x W, or N x H x W x 3 in colour"
        )
    return images


def checked_labels(
    labels: np.ndarray, names: tuple[str, ...], count: int, path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of `count` images, int64 (count,), and the names of the classes.

    Raises:
        InputError: they are no labels of these images.
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
