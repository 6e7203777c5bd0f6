"""The user's own drawing as points: from a table (.csv, .tsv) or from the dark parts of a picture.

A table is read line by line, and only a uniform sample of a very long one is kept, so that a file
of any size fits into memory. An unusable line is an error, reported with its number and the reason.
"""

from __future__ import annotations

import csv
import math
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from names import PICTURE_SUFFIXES
from system.errors import InputError

MAX_LINE = 10_000  # characters; a table of points has no longer lines
MAX_KEPT = 1_000_000  # points that are kept from a longer table
MAX_SIDE = 512  # pixels; larger pictures are shrunk
FEWEST = 3  # different points that a drawing needs

Point = tuple[float, float]


def read_drawing(path: Path, rng: np.random.Generator) -> np.ndarray:
    """The points of a table, or random points in the dark parts of a picture: float64 (n, 2).

    Raises:
        InputError: the file does not exist or cannot be used; the message says where and why.
    """
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
    read = read_picture if path.suffix.lower() in PICTURE_SUFFIXES else read_table
    points = read(path, rng)
    if len(np.unique(points, axis=0)) < FEWEST:
        raise InputError(f"{path} has fewer than {FEWEST} different points")
    spread = np.ptp(points, axis=0).max()
    # In float32, points so close together relative to their size become indistinguishable, and the
    # squares of larger or smaller numbers overflow or underflow.
    if not spread > max(1e-5 * abs(points).max(), 1e-15) or abs(points).max() > 1e15:
        raise InputError(f"{path}: its numbers are too large, or too close together, for a drawing")
    return points


# ------------------------------------------------------------------------------------- tables


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of every line that is not blank, holding one line at a time."""
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            number = 0
            while text := file.readline(MAX_LINE + 1):
                number += 1
                if len(text) > MAX_LINE:
                    raise InputError(f"{path}, line {number}: longer than {MAX_LINE} characters")
                if "\0" in text:
                    raise InputError(f"{path}, line {number}: not text")
                if text.strip():
                    yield number, text.strip("\r\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number + 1}: not text (UTF-8 is expected)") from None


def find_delimiter(text: str) -> str | None:
    """Tab, semicolon or comma, whichever the text has; None for columns separated by spaces."""
    return next((mark for mark in "\t;," if mark in text), None)


def split(text: str, delimiter: str | None, where: str) -> list[str]:
    if delimiter is None:
        text, delimiter = " ".join(text.split()), " "
    after_delimiter = delimiter != " "  # spaces may follow a delimiter
    rows = csv.reader([text], delimiter=delimiter, skipinitialspace=after_delimiter, strict=True)
    try:
        return [cell.strip() for cell in next(rows)]
    except csv.Error as error:  # such as an unclosed quotation mark
        raise InputError(f"{where}: not a row of a table ({error})") from None


def to_number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def choose_columns(path: Path, rows: list[list[str]]) -> tuple[int, int, bool]:
    """The columns of x and y, and whether the first row is a header, from the first two rows.

    These are the columns with the headings x and y, or else the first two columns of numbers.
    """
    names = [cell.lower() for cell in rows[0]]
    header = all(to_number(cell) is None for cell in names)
    if header and len(rows) == 1:
        raise InputError(f"{path} has no points, only a header")
    if header and "x" in names and "y" in names:
        return names.index("x"), names.index("y"), True
    body = rows[1] if header else rows[0]
    numeric = [k for k, cell in enumerate(body) if to_number(cell) is not None]
    if len(numeric) < 2 or numeric[1] >= len(names):
        raise InputError(f"{path}: two columns of numbers are needed, x and y")
    return numeric[0], numeric[1], header


def parse_point(cells: list[str], columns: tuple[int, int], where: str) -> Point:
    values = []
    for name, column in zip("xy", columns, strict=True):
        cell = cells[column] if column < len(cells) else ""
        value = to_number(cell)
        if cell == "":
            raise InputError(f"{where}: no value for {name}")
        if value is None:
            raise InputError(f"{where}: {name} is {cell[:40]!r}, not a number")
        if not math.isfinite(value):
            raise InputError(f"{where}: {name} is {cell[:40]}, not a finite number")
        values.append(value)
    return values[0], values[1]


def read_table(path: Path, rng: np.random.Generator) -> np.ndarray:
    """All points of a table, or a uniform sample of `MAX_KEPT` of them: float64 (n, 2)."""
    lines = numbered_lines(path)
    first = [line for _, line in zip(range(2), lines, strict=False)]
    if not first:
        raise InputError(f"{path} is empty")
    delimiter = find_delimiter(first[0][1])
    x, y, header = choose_columns(
        path, [split(text, delimiter, f"{path}, line {number}") for number, text in first]
    )
    kept: list[Point] = []
    chance = random.Random(int(rng.integers(2**63)))
    seen = 0
    for source in (first[header:], lines):
        for number, text in source:
            where = f"{path}, line {number}"
            point = parse_point(split(text, delimiter, where), (x, y), where)
            seen += 1
            if len(kept) < MAX_KEPT:
                kept.append(point)
            elif (slot := chance.randrange(seen)) < MAX_KEPT:  # reservoir sampling (Vitter 1985)
                kept[slot] = point
    return np.array(kept, dtype=np.float64).reshape(-1, 2)


# ----------------------------------------------------------------------------------- pictures


def open_picture(path: Path) -> Image.Image:
    """A picture file with its transparency, upright, shrunk to at most `MAX_SIDE` pixels.

    Raises:
        InputError: the file is missing or is not a picture.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures that take hundreds of megabytes.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.thumbnail((MAX_SIDE, MAX_SIDE))
                return ImageOps.exif_transpose(opened).convert("RGBA")
    except MemoryError:
        raise
    except Exception as error:  # damaged pictures can raise any error
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} cannot be read as a picture: {reason}") from error


def over(colour: str, picture: Image.Image, mode: str = "L") -> Image.Image:
    """A picture in grey ("L") or in colour ("RGB"), with `colour` where it is transparent."""
    paper = Image.new("RGBA", picture.size, colour)
    paper.alpha_composite(picture)
    return paper.convert(mode)


def read_picture(path: Path, rng: np.random.Generator, count: int = 50_000) -> np.ndarray:
    """Random points in a picture, with a density proportional to its darkness.

    Transparent parts count as white. Units are pixels, with y upwards, as in a plot.
    """
    darkness = 255 - np.asarray(over("white", open_picture(path)), dtype=np.float64)
    if darkness.sum() == 0:
        raise InputError(f"{path} is all white, so it has no dark parts to place points in")
    height, width = darkness.shape
    pixel = rng.choice(height * width, size=count, p=darkness.ravel() / darkness.sum())
    corner = np.stack([pixel % width, height - 1 - pixel // width], axis=1)
    return corner + rng.random((count, 2))


def resample(points: np.ndarray, count: int, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """`count` points drawn from `points` with replacement, with normal noise added to each.

    Args:
        jitter: standard deviation of the noise, as a share of the spread of the data (their
            standard deviation, averaged over the two axes).
    """
    spread = math.sqrt(points.var(axis=0).mean())
    chosen = points[rng.integers(len(points), size=count)]
    return chosen + jitter * spread * rng.normal(size=(count, 2))
