"""Locks: a run's folder belongs to one run at a time, for as long as that run goes on."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from system.errors import InputError, RunError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# The errors of file systems that cannot lock or flush, as some of networks and clusters cannot.
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

# The folder that this process has locked, as it was then.
held: dict[Path, os.stat_result] = {}


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
