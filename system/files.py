"""Atomic writes: at any moment a file is either the complete old one or the complete new one."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from system.errors import InputError
from system.locks import UNSUPPORTED, check_still_held

ATTEMPTS, PAUSE = 5, 0.1  # to replace a file that another program has open; PAUSE in seconds


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file so that it is at any moment either the complete old one or the complete new one.

    Yields a temporary path in the same folder. If the block succeeds, that file is flushed to disk
    and renamed to `path` (see `move_into_place`). If it fails, that file is removed and `path`
    stays as it was.

    Raises:
        RunError: `path` is in a folder that this process has locked and that no longer exists.
    """
    check_still_held(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path, str(os.getpid()))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            flush(file.fileno())
        move_into_place(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # errors of writing do not name the file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path, process: str) -> Path:
    """The temporary file in which a process, given by its number, writes `path`."""
    return path.with_name(f".{path.stem}.{process}.tmp{path.suffix}")


def move_into_place(temporary: Path, path: Path) -> None:
    """Rename a finished file to `path`, or to a similar name if `path` cannot be replaced.

    Windows does not replace a file that another program has open: a virus scanner for a moment, a
    spreadsheet for hours. The run should not lose the file in either case.
    """
    for _ in range(ATTEMPTS):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(PAUSE)
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    os.replace(temporary, beside)
    print(f"{path} cannot be replaced; is it open? Wrote {beside} instead", file=sys.stderr)


def flush(file: int) -> None:
    """Flush an open file or folder to disk, so that it survives a power cut, if the file system
    supports that."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def flush_folder(folder: Path) -> None:
    """Flush a folder, so that a renamed file survives a power cut, if the system supports that."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            flush(handle)
        finally:
            os.close(handle)


def write_through_memory(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write a file with a library's own function, which writes to memory first.

    On a full disk, such functions raise obscure errors.
    """
    content = io.BytesIO()
    save(content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_writable(folder: Path) -> None:
    """Make sure, before hours of work, that files can be written into `folder`.

    Raises:
        InputError: the folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}") from None
