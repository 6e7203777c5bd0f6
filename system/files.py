"""Files that are whole at every moment, and a run's folder that belongs to one run at a time."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from system.errors import InputError, RunError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# What file systems answer that cannot lock or flush, as some of networks and clusters cannot.
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
ATTEMPTS, PAUSE = 5, 0.1  # to replace a file that another program has open; seconds in between

# What a training run writes into its folder.
RUN_FILES = (
    "config.json",
    "history.csv",
    "history.new.csv",  # see `move_into_place`
    "training_loss.png",
    "model_final.pt",
    "samples",
    "checkpoints",
    "tensorboard",
)
# And by which names: what `atomic_write` can have left half-written there.
WRITTEN = (
    *("config.json", "history.csv", "training_loss.png", "model_final.pt"),
    *("samples/epoch_*.png", "checkpoints/model_*.pt"),
)

# The folder that this process has locked, as it was then.
held: dict[Path, os.stat_result] = {}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file so that it is at every moment either the old one or the new one, whole.

    Yields a temporary path in the same folder. When the block ends well, that file is flushed to
    disk and renamed to `path` (see `move_into_place`); when it fails, it is removed and `path`
    stays as it was.

    Raises:
        RunError: `path` is in a folder that this process has locked, and that is no longer there.
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
        error.filename = error.filename or str(path)  # a failed write does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path, process: str) -> Path:
    """Where a process, given by its number, writes what is to become `path`."""
    return path.with_name(f".{path.stem}.{process}.tmp{path.suffix}")


def move_into_place(temporary: Path, path: Path) -> None:
    """Rename a finished file to `path`, or to a name beside it if `path` cannot be replaced.

    Windows replaces no file that another program has open: a virus scanner for a moment, a
    spreadsheet for hours. Neither should cost a run what it has to write.
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
    """Make an open file or folder last through a power cut, where the file system can."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def flush_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where the system lets folders be flushed."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            flush(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete what runs that were killed while they wrote have left in their folder."""
    for name in WRITTEN:
        for path in folder.glob(str(temporary_name(Path(name), "*"))):
            number = path.stem.removesuffix(".tmp").rpartition(".")[2]
            # No process has a number of ten digits.
            a_process = number.isdecimal() and len(number) < 10
            if a_process and path.is_file() and not is_running(int(number)):
                path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # os.kill would end it there; a leftover does no harm
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True


def write_through_memory(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write a file with a library's own writer, which is given a file in memory.

    On disk such writers turn a lack of space into obscure errors.
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
        InputError: the folder cannot be made or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of `folder` for as long as the block lasts.

    The operating system holds the lock and lets go of it when the process ends, however it ends:
    the file itself, which stays, means nothing. Where the file system has no locks, nothing keeps
    others out, and a line says so.

    Raises:
        InputError: another process has it, or it is no file that could be ours.
    """
    path = folder / ".lock"
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is not a plain file, so no lock; choose another --output_dir")
    with path.open("a+") as file:
        if not take_lock(file):
            file.seek(0)
            raise InputError(
                f"another run (process {file.read().strip() or 'unknown'}) is writing into"
                f" {folder}; wait for it, or choose another --output_dir"
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        held[folder] = folder.stat()
        try:
            yield
        finally:
            del held[folder]


def check_still_held(path: Path) -> None:
    """Make sure that `path` does not bring back a locked folder that was deleted or renamed: with
    neither lock nor settings, and maybe in the midst of another run's files.

    Raises:
        RunError: it would.
    """
    for folder, before in held.items():
        is_the_same = folder.exists() and os.path.samestat(folder.stat(), before)
        if folder in path.parents and not is_the_same:
            raise RunError(f"{folder} was deleted or renamed while this run wrote into it")


def take_lock(file: IO[str]) -> bool:
    """Whether this process now holds the lock on an open file."""
    try:
        if sys.platform == "win32":
            file.seek(1 << 30)  # beyond the text, which others should be able to read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        print(f"{file.name} cannot be locked here: start no second run in its folder", flush=True)
    return True


def set_earlier_run_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier_001` (or the next free number).

    Returns:
        The folder they are now in, or None if there was no earlier run.

    Raises:
        InputError: one of them cannot be moved; then all are where they were.
    """
    found = [folder / name for name in RUN_FILES if os.path.lexists(folder / name)]
    if not found:
        return None
    number = 1
    while os.path.lexists(aside := folder / f"earlier_{number:03d}"):
        number += 1
    aside.mkdir()
    moved: list[Path] = []
    try:
        for path in found:
            moved.append(path.rename(aside / path.name))
    except OSError as error:
        for path in moved:
            path.rename(folder / path.name)
        aside.rmdir()
        raise InputError(
            f"cannot move the earlier run in {folder} aside: {error.strerror}: {error.filename};"
            " nothing was changed"
        ) from None
    return aside
