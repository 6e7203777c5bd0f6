"""The user's own pictures, in a folder and its subfolders, or in a .zip.

Finding them reads no picture. Their classes are the folders that contain them.
"""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from system.errors import InputError
from system.values import LONGEST_NAME, MOST_CLASSES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
LARGEST_MEMBER = 500_000_000  # bytes of an unpacked picture from an archive


@dataclass(frozen=True)
class Source:
    """A picture that has not been read yet.

    Attributes:
        name: its path in the folder or in the archive, with forward slashes.
        stamp: a text that changes when the picture does.
        open: a function that returns its bytes as a file.
    """

    name: str
    stamp: str
    open: Callable[[], BinaryIO]


def find_pictures(place: Path) -> list[Source]:
    """All pictures in a folder or a .zip, sorted by name, except hidden ones.

    Raises:
        InputError: the path does not exist, cannot be read, or is a damaged archive.
    """
    found = find_in_folder(place) if place.is_dir() else find_in_archive(place)
    return sorted(found, key=lambda source: PurePosixPath(source.name).parts)


def is_picture(name: str) -> bool:
    """Whether a file with this path below the folder counts as a picture."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def find_in_folder(folder: Path) -> list[Source]:
    """The pictures below a folder. Links are followed, but no folder is entered twice."""
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None

    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link back to it
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in files:
            path = Path(place, name)
            below = path.relative_to(folder).as_posix()
            if is_picture(below) and path.is_file():
                status = path.stat()
                stamp = f"{status.st_size} {status.st_mtime_ns}"
                found.append(Source(below, stamp, partial(open_file, path)))
    return found


def open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def find_in_archive(path: Path) -> list[Source]:
    """The pictures in a .zip.

    Raises:
        InputError: the file does not exist or is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # damaged archives can raise any error
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as a .zip: {reason}") from None
    return [
        Source(
            member.filename,
            f"{member.file_size} {member.CRC}",
            partial(read_member, archive, member),
        )
        for member in archive.infolist()
        if is_picture(member.filename)
    ]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    """The bytes of one file in an archive.

    Raises:
        ValueError: the file is too large.
    """
    if member.file_size > LARGEST_MEMBER:
        raise ValueError(f"{member.file_size:,} bytes are too many")
    return io.BytesIO(archive.read(member))


# ----------------------------------------------------------------------------------- their classes


def folders_of(sources: Iterable[Source]) -> list[str]:
    """The name of each picture's class: the first folder of its path below those common to all.

    If there are no folders, or pictures beside them, there are no classes: all names are empty.
    """
    parts = [PurePosixPath(source.name).parts for source in sources]
    while all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    if any(len(part) == 1 for part in parts):
        return [""] * len(parts)
    return [part[0] for part in parts]


def in_text(name: str) -> str:
    """The name of a folder, which can hold any bytes, as a printable line of text."""
    text = unicodedata.normalize("NFC", name)  # some systems store letter and accent separately
    plain = (mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)
    return "".join(plain)[:LONGEST_NAME]


def class_names_of(folders: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The label of each picture, and the name of each label (no names if there are no classes).

    Raises:
        InputError: there are too many classes.
    """
    known = sorted(set(folders) - {""})
    if len(known) > MOST_CLASSES:
        raise InputError(
            f"{len(known):,} folders are too many classes; up to {MOST_CLASSES:,} are possible"
        )
    places = {folder: label for label, folder in enumerate(known)}
    return [places.get(folder, 0) for folder in folders], tuple(map(in_text, known))
