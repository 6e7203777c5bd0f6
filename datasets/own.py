"""The user's own images as a dataset: a folder or a .zip of pictures, or a file of arrays.

Decoded pictures are kept in a cache, so that a second run starts at once.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.arrays import read_array
from datasets.pictures import (
    attempt_all,
    fitted,
    flattened,
    is_grey,
    nearest_side,
    read_all,
    read_picture,
    short_side,
)
from datasets.settings import ImageSettings
from datasets.sources import SUFFIXES, Source, class_names_of, find_pictures, folders_of
from names import ARRAY_SUFFIXES, LARGEST_SIDE, SMALLEST_SIDE, USUAL_SIDES, suffix_of
from system.errors import InputError
from system.files import atomic_write
from system.memory import most_for_data

FEWEST = 10  # images
VERSION = 1  # of the processing of pixels; a new version makes old caches invalid


class Collection(NamedTuple):
    """Images, uint8 (N, side, side) or (N, side, side, 3), labels, int64 (N,), and their names."""

    pixels: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def load_own(
    place: Path, data_dir: Path, train: bool, settings: ImageSettings
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """One split of the user's own images, in a shuffled order that is always the same.

    Args:
        data_dir: its folder `pictures` contains the cache.

    Returns:
        Images, uint8 (N, side, side) or (N, side, side, 3); labels, int64 (N,); a name for each
        label, or no names.

    Raises:
        InputError: the images cannot be read, are too few, or are too many for the memory.
    """
    if not os.path.exists(place):  # also false, without an error, for invalid file names
        raise InputError(f"{place} does not exist")
    if suffix_of(str(place)) in ARRAY_SUFFIXES:
        found = collect_array(place, settings)
    else:
        found = collect_pictures(place, settings, data_dir / "pictures")
    if len(found.pixels) < FEWEST:
        raise InputError(f"{place} has only {len(found.pixels)} images; {FEWEST} are needed")
    held = held_out(found.labels, settings.holdout)
    if not train and not held.any():
        raise InputError(f"no image in {place} was held out from training (--holdout)")
    order = np.random.default_rng(0).permutation(len(held))
    chosen = order[held[order] != train]
    pixels, labels = (torch.from_numpy(array[chosen]) for array in found[:2])
    return pixels, labels, found.class_names


def held_out(labels: np.ndarray, share: float) -> np.ndarray:
    """Which images belong to the test split, bool (N,): about the same share of each class."""
    count = round(share * len(labels))
    places = ((np.arange(count) + 0.5) * len(labels) / max(count, 1)).astype(int)
    held = np.zeros(len(labels), dtype=bool)
    held[np.argsort(labels, kind="stable")[places]] = True
    return held


def channels_for(pixels: np.ndarray, wanted: str) -> str:
    """`1` or `3`, for images (N, H, W) or (N, H, W, 3); `auto` means 1 if every image is grey."""
    if wanted != "auto":
        return wanted
    return "1" if pixels.ndim == 3 or is_grey(pixels) else "3"


# ------------------------------------------------------------------------------------- arrays


def collect_array(path: Path, settings: ImageSettings) -> Collection:
    """The images in a .npy or .npz file.

    They keep their size if they are square and the size is allowed.
    """
    pixels, labels, names = read_array(path)
    height, width = pixels.shape[1:3]
    as_it_is = height == width and SMALLEST_SIDE <= height <= LARGEST_SIDE
    side = settings.image_size or (height if as_it_is else nearest_side([min(height, width)]))
    check_memory(len(pixels), side)
    if pixels.shape[-1] == 4 and pixels.ndim == 4:
        over = [flattened(Image.fromarray(image), settings.background) for image in pixels]
        pixels = np.stack([np.asarray(image) for image in over])
    channels = channels_for(pixels, settings.channels)
    return Collection(fitted(pixels, side, channels), labels, names)


# ----------------------------------------------------------------------------------- pictures


def collect_pictures(place: Path, settings: ImageSettings, cache: Path) -> Collection:
    """The pictures in a folder or a .zip, from the cache if possible."""
    sources = find_pictures(place)
    if len(sources) < FEWEST:
        few = f"only {len(sources)} pictures" if sources else "no pictures"
        raise InputError(f"{place} has {few} ({', '.join(SUFFIXES)}); {FEWEST} are needed")
    path = cache / f"{cache_key(sources, settings)}.npz"
    if (kept := from_cache(path)) is not None:
        return kept
    side = settings.image_size
    if side is None:
        sides = attempt_all(sources, short_side, "looking at sizes")
        # `read_all` reports pictures that cannot be read, including any whose header is intact.
        side = nearest_side([one for one in sides if isinstance(one, int)])
    check_memory(len(sources), side)
    read = partial(read_picture, side=side, background=settings.background)
    sources, images = read_all(sources, read, place)
    pixels = np.stack(images)
    channels = channels_for(pixels, settings.channels)
    labels, names = class_names_of(folders_of(sources))
    found = Collection(fitted(pixels, side, channels), np.array(labels, dtype=np.int64), names)
    to_cache(path, found)
    return found


def check_memory(count: int, side: int) -> None:
    """Make sure that images fit into the memory.

    Raises:
        InputError: they do not; the message suggests a size that would fit.
    """

    def needed(side: int) -> int:
        return count * side * side * 3

    most = most_for_data()
    if needed(side) > most:
        fitting = [one for one in (SMALLEST_SIDE, *USUAL_SIDES) if needed(one) <= most]
        way = f"--image_size {fitting[-1]} would fit" if fitting else "take fewer of them"
        raise InputError(
            f"{count:,} images of {side} x {side} pixels take {needed(side) / 1e9:.1f} GB,"
            f" more than a third of the memory; {way}"
        )


# -------------------------------------------------------------------------------------- cache


def cache_key(sources: Sequence[Source], settings: ImageSettings) -> str:
    """A file name for the result of reading these pictures with these settings."""
    used = (VERSION, settings.image_size, settings.channels, settings.background)
    found = hashlib.sha256(repr(used).encode())
    for source in sources:
        found.update(f"{source.name}\n{source.stamp}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()[:32]


def from_cache(path: Path) -> Collection | None:
    """The images cached by an earlier run; None if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Collection(kept["pixels"], kept["labels"], tuple(kept["class_names"].tolist()))
    except Exception:  # damaged files can raise any error
        return None


def to_cache(path: Path, found: Collection) -> None:
    """Write images to the cache; if that fails, the next run reads the pictures again."""
    try:
        with atomic_write(path) as temporary:
            np.savez(temporary, **found._asdict())
    except OSError as error:
        why = error.strerror or str(error)
        print(f"cannot write into {path.parent} ({why}): the next run reads the pictures again")
