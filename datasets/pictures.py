"""Pictures of any size and format, converted to small square images of one size.

Each picture is turned upright, cropped to its central square and resized. Transparent parts show a
background colour.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from datasets.sources import Source, in_text
from names import USUAL_SIDES
from system.console import shows_bars
from system.errors import InputError, one_line

ENOUGH = 0.9  # the share of pictures that must be readable
MOST_PIXELS = 100_000_000  # of one picture, which then takes 300 MB when decoded
NAMED = 3  # unreadable pictures that a message names
T = TypeVar("T")


# ------------------------------------------------------------------------------- one picture


@contextmanager
def open_picture(source: Source) -> Iterator[Image.Image]:
    """A picture of which only the header has been read; its file is closed at the end.

    Raises:
        ValueError: the file is not a picture or has too many pixels; Pillow can raise other errors.
    """
    with source.open() as file:
        try:
            opened = Image.open(file)
        except UnidentifiedImageError:
            raise ValueError("it is not a picture") from None
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width:,} x {opened.height:,} pixels are too many")
        yield opened


def short_side(source: Source) -> int:
    """The shorter side of a picture, in pixels."""
    with open_picture(source) as opened:
        return min(opened.size)


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """A picture with 16 bits of grey, scaled to 8 bits; Pillow would clip its values."""
    values = np.asarray(picture).astype(np.float64)
    grey = Image.fromarray(np.round(values / 257).clip(0, 255).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if transparent is not None:  # one of the 65,536 values
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def flattened(picture: Image.Image, background: str) -> Image.Image:
    """A picture in RGB, with the background colour where it is transparent."""
    if picture.mode.startswith("I"):
        picture = in_eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    paper = Image.new("RGBA", picture.size, background)
    paper.alpha_composite(picture.convert("RGBA"))
    return paper.convert("RGB")


def middle_square(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box (left, upper, right, lower) of the largest central square of a picture."""
    side = min(size)
    left, upper = ((length - side) // 2 for length in size)
    return left, upper, left + side, upper + side


def resized(picture: Image.Image, side: int) -> Image.Image:
    """The central square of a picture, as `side` x `side` pixels."""
    square = picture.crop(middle_square(picture.size))
    return square.resize((side, side), Image.Resampling.LANCZOS)


def read_picture(source: Source, side: int, background: str) -> np.ndarray:
    """A picture, or the first frame of an animation, as uint8 (side, side, 3)."""
    with open_picture(source) as opened:
        return np.asarray(resized(flattened(ImageOps.exif_transpose(opened), background), side))


# -------------------------------------------------------------------------------- all of them


def nearest_side(sides: Sequence[int]) -> int:
    """The nearest of the `USUAL_SIDES` to the median of `sides`; the smallest if there are none."""
    median = float(np.median(sides)) if sides else 0.0
    return min(USUAL_SIDES, key=lambda side: abs(side - median))


def attempt(read: Callable[[Source], T], source: Source) -> T | Exception:
    """The result of reading, or the error; damaged pictures can raise any kind of error."""
    try:
        return read(source)
    except MemoryError:
        raise
    except Exception as error:
        return error


def attempt_all(
    sources: Sequence[Source], read: Callable[[Source], T], task: str
) -> list[T | Exception]:
    """The result of reading each picture, or the error.

    Args:
        task: a description for the progress bar.
    """
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # Pillow works without Python's lock
    bar: dict[str, Any] = {"total": len(sources), "desc": task, "unit": " pictures"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd or very large pictures
            found = pool.map(lambda source: attempt(read, source), sources)
            return list(tqdm(found, **bar, disable=not shows_bars(sys.stderr)))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, do not read the rest


def read_all(
    sources: Sequence[Source], read: Callable[[Source], T], place: Path
) -> tuple[list[Source], list[T]]:
    """The readable pictures and the results of reading them; a message names some of the others.

    Args:
        place: the path of the pictures, for messages.

    Raises:
        InputError: too many pictures cannot be read.
    """
    results = attempt_all(sources, read, "reading pictures")
    bad = [(s, x) for s, x in zip(sources, results, strict=True) if isinstance(x, Exception)]
    good = [(s, x) for s, x in zip(sources, results, strict=True) if not isinstance(x, Exception)]
    if bad:
        some = "; ".join(
            f"{in_text(source.name)} ({str(error) or type(error).__name__})"
            for source, error in bad[:NAMED]
        )
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        message = (
            f"{len(bad):,} of {len(sources):,} pictures in {place} cannot be read: {some}{more}"
        )
        if len(good) < ENOUGH * len(sources):
            raise InputError(message)
        print(one_line(message), flush=True)
    return [source for source, _ in good], [x for _, x in good]


def is_grey(pixels: np.ndarray) -> bool:
    """Whether red, green and blue are equal in all images, uint8 (N, H, W, 3)."""
    return all(bool((image == image[..., :1]).all()) for image in pixels)


def fitted(pixels: np.ndarray, side: int, channels: str) -> np.ndarray:
    """Images, uint8 (N, H, W) or (N, H, W, 3), as squares of one size, grey or in colour.

    Args:
        side: of the result, in pixels.
        channels: `1`, `3`, or `auto` for as many as the images have.

    Returns:
        uint8 (N, side, side) if grey, else (N, side, side, 3).
    """
    has = "1" if pixels.ndim == 3 else "3"
    wanted = has if channels == "auto" else channels
    if wanted == has and pixels.shape[1:3] == (side, side):
        return pixels
    mode = "L" if wanted == "1" else "RGB"
    images = (resized(Image.fromarray(image), side).convert(mode) for image in pixels)
    return np.stack([np.asarray(image) for image in images])
