"""A person's own pictures as a data set: a folder or a .zip of them, sub-folders being classes.

Each picture is turned upright, laid over a background where it is transparent, cropped to its
middle square and shrunk. The result is kept in a cache, so that a second run starts at once.
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from system.console import shows_bars
from system.errors import InputError, one_line
from system.files import write_through_memory

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SIDES = (28, 32, 48, 64)  # of which the nearest to the pictures' own is taken
FEWEST = 10  # pictures
ENOUGH = 0.9  # the share of pictures that must be readable
MOST_PIXELS = 100_000_000  # of one picture: 300 MB once decoded
NAMED = 3  # unreadable pictures that are named one by one
T = TypeVar("T")
VERSION = 1  # of what is done with the pixels; another one leaves old caches unused


@dataclass(frozen=True)
class Source:
    """One picture that is still to be read.

    Attributes:
        name: where it stands below the folder or in the archive, with forward slashes.
        stamp: changes when the picture does: its size and time.
        open: gives its bytes.
    """

    name: str
    stamp: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Options:
    """How pictures become examples.

    Attributes:
        side: pixels, of the square images; None for the nearest of `SIDES` to the pictures' own.
        channels: 1, 3, or None for 1 if every picture is grey.
        background: what transparent parts lie over, as Pillow names colours.
    """

    side: int | None = None
    channels: int | None = None
    background: str = "white"


# --------------------------------------------------------------------------- finding pictures


def find_in_folder(folder: Path) -> list[Source]:
    """All pictures below a folder, by name. Links are followed, but no folder is entered twice."""
    found: list[Source] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                status = path.stat()
                stamp = f"{status.st_size} {status.st_mtime_ns}"
                below = path.relative_to(folder).as_posix()
                found.append(Source(below, stamp, partial(open_file, path)))
    return found


def open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def find_in_archive(path: Path) -> list[Source]:
    """All pictures in a .zip.

    Raises:
        InputError: it is none, or a damaged one.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} cannot be read as a .zip: {error}") from None
    return [
        Source(
            member.filename,
            f"{member.file_size} {member.CRC}",
            partial(read_member, archive, member),
        )
        for member in sorted(archive.infolist(), key=lambda member: member.filename)
        if PurePosixPath(member.filename).suffix.lower() in SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in member.filename.split("/"))
    ]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    return io.BytesIO(archive.read(member))


def class_of(sources: Sequence[Source]) -> list[str]:
    """The first folder of each picture's name; all empty if any picture lies beside the folders.

    A single folder that holds everything, as in many archives, counts as no class.
    """
    parts = [PurePosixPath(source.name).parts for source in sources]
    while parts and all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    if any(len(part) == 1 for part in parts):
        return [""] * len(parts)
    return [part[0] for part in parts]


# --------------------------------------------------------------------------- reading pictures


def upright(opened: Image.Image) -> Image.Image:
    """A picture turned as its EXIF data say; of an animation the first frame."""
    opened.seek(0)
    return ImageOps.exif_transpose(opened)


def over(background: str, picture: Image.Image) -> Image.Image:
    """A picture in RGB, with this colour where it is transparent."""
    if picture.mode == "I;16":  # 16 bits of grey, which Pillow would clip instead of scale
        picture = picture.point(lambda value: value / 257).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    paper = Image.new("RGBA", picture.size, background)
    paper.alpha_composite(picture.convert("RGBA"))
    return paper.convert("RGB")


def middle_square(picture: Image.Image) -> tuple[float, float, float, float]:
    """The box (left, upper, right, lower) of the largest square in the middle of a picture."""
    side = min(picture.size)
    left, upper = ((length - side) // 2 for length in picture.size)
    return left, upper, left + side, upper + side


def shrink(picture: Image.Image, side: int) -> Image.Image:
    """The middle square of a picture, as `side` x `side` pixels (small ones are enlarged)."""
    return picture.crop(middle_square(picture)).resize((side, side), Image.Resampling.LANCZOS)


def open_picture(source: Source) -> Image.Image:
    """A picture of which only the header has been read.

    Raises:
        ValueError: it has too many pixels.
    """
    opened = Image.open(source.open())
    if opened.width * opened.height > MOST_PIXELS:
        raise ValueError(f"{opened.width} x {opened.height} pixels are too many")
    return opened


def side_of(source: Source) -> int:
    """The shorter side of a picture."""
    with open_picture(source) as opened:
        return min(opened.size)


def read_one(source: Source, side: int, background: str) -> np.ndarray:
    """A picture as uint8 (side, side, 3)."""
    with open_picture(source) as opened:
        return np.asarray(shrink(over(background, upright(opened)), side))


def attempt(read: Callable[[Source], T], source: Source) -> T | Exception:
    """What reading gives, or what went wrong, which with damaged pictures can be anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd or very large pictures
            return read(source)
    except MemoryError:
        raise
    except Exception as error:
        return error


def read_all(
    sources: Sequence[Source], read: Callable[[Source], T], what: str, place: Path
) -> tuple[list[Source], list[T]]:
    """Those that can be read, and what was read of each; a line names some of the others.

    Raises:
        InputError: too many cannot be read.
    """
    hidden = not shows_bars(sys.stderr)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the GIL
        results = list(
            tqdm(
                pool.map(lambda source: attempt(read, source), sources),
                total=len(sources),
                desc=what,
                unit=" pictures",
                disable=hidden,
            )
        )
    good = [(s, x) for s, x in zip(sources, results, strict=True) if not isinstance(x, Exception)]
    bad = [(s, x) for s, x in zip(sources, results, strict=True) if isinstance(x, Exception)]
    if bad:
        some = "; ".join(f"{source.name} ({reason(error)})" for source, error in bad[:NAMED])
        more = f", and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        told = f"{len(bad):,} of {len(sources):,} pictures in {place} cannot be read: {some}{more}"
        if len(good) < ENOUGH * len(sources):
            raise InputError(told)
        print(one_line(told), flush=True)
    return [source for source, _ in good], [x for _, x in good]


def reason(error: Exception) -> str:
    return str(error) or type(error).__name__


# ----------------------------------------------------------------------------- the data set


def read_pictures(place: Path, options: Options, cache: Path) -> tuple[Tensor, list[str]]:
    """The pictures of a folder or a .zip, and the class of each by name (empty for none).

    Args:
        cache: the folder in which what was read is kept; what is in it can be deleted at any time.

    Returns:
        Images, uint8 (N, side, side) if grey, else (N, side, side, 3).

    Raises:
        InputError: there are too few pictures, too many of them cannot be read, or what was read
            would not fit into memory.
    """
    sources = find_in_folder(place) if place.is_dir() else find_in_archive(place)
    if len(sources) < FEWEST:
        few = "no pictures" if not sources else f"only {len(sources)} pictures"
        raise InputError(
            f"{place} holds {few} ({', '.join(SUFFIXES)}); at least {FEWEST} are needed"
        )
    path = cache / f"{key_of(sources, options)}.npz"
    if (kept := from_cache(path)) is not None:
        return kept
    side = options.side
    if side is None:
        sources, sides = read_all(sources, side_of, "looking at sizes", place)
        side = nearest_side(statistics.median(sides))
    check_memory(len(sources), side)
    read = partial(read_one, side=side, background=options.background)
    sources, pictures = read_all(sources, read, f"reading {place.name}", place)
    if len(sources) < FEWEST:
        raise InputError(f"{place}: only {len(sources)} pictures can be read")
    pixels = np.stack(pictures)
    grey = bool((pixels == pixels[..., :1]).all())
    if options.channels == 1 or (options.channels is None and grey):
        pixels = pixels[..., 0] if grey else to_grey(pixels)
    classes = class_of(sources)
    to_cache(path, pixels, classes)
    return torch.from_numpy(pixels), classes


def nearest_side(side: float) -> int:
    return min(SIDES, key=lambda one: abs(one - side))


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Colours (N, side, side, 3) as Pillow makes them grey: the luma of ITU-R 601."""
    return np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pixels])


def key_of(sources: Sequence[Source], options: Options) -> str:
    """A name for what is made of these pictures with these options."""
    found = hashlib.sha256(repr((VERSION, options)).encode())
    for source in sources:
        # Names of files need not be text.
        found.update(f"{source.name}\n{source.stamp}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()[:32]


def from_cache(path: Path) -> tuple[Tensor, list[str]] | None:
    """What an earlier run kept; None if there is nothing, or nothing whole."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            pixels, classes = kept["pixels"], kept["classes"].tolist()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
    fits = pixels.dtype == np.uint8 and pixels.ndim in (3, 4) and len(pixels) == len(classes)
    return (torch.from_numpy(pixels), classes) if fits else None


def to_cache(path: Path, pixels: np.ndarray, classes: list[str]) -> None:
    """Keep what was read; where that cannot be written, the next run reads again."""
    try:
        write_through_memory(path, lambda file: np.savez(file, pixels=pixels, classes=classes))
    except OSError as error:
        print(f"{path.parent} cannot be written ({error.strerror}): pictures are read every time")


def check_memory(count: int, side: int) -> None:
    """Refuse what would fill more than half of the memory there is.

    Raises:
        InputError: with the size that would fit.
    """
    most = memory() / 2
    if count * side * side * 3 <= most:
        return
    fits = max((one for one in SIDES if count * one * one * 3 <= most), default=None)
    way = f"--image_size {fits} would fit" if fits else "take fewer pictures"
    raise InputError(
        f"{count:,} pictures of {side} x {side} pixels take {count * side * side * 3 / 1e9:.1f} GB,"
        f" more than half of this machine's memory; {way}"
    )


def memory() -> float:
    """Bytes of memory of this machine, or of the container that this process is in."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError):  # not on Windows
        return float("inf")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole
    return whole if limit == "max" else min(whole, float(limit))
