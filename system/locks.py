"""Locks: only one run at a time may use a folder."""

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

# The errors of file systems that cannot lock or flush, such as some network file systems.
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

# The folder that this process has locked, with its status at that time.
held: dict[Path, os.stat_result] = {}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of `folder` while the block runs.

    The operating system holds the lock and releases it when the process ends in any way. The lock
    file stays, but its existence means nothing. If the file system has no locks, a message says
    that the folder is not protected.

    Raises:
        InputError: another process holds the lock, or the lock file is not a plain file.
    """
    path = folder / ".lock"
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(
            f"{path} is not a plain file, so it cannot be a lock; choose another --output_dir"
        )
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
    """Make sure that writing `path` does not recreate a locked folder that was deleted or renamed.

    The new folder would have neither lock nor settings, and might mix with another run's files.

    Raises:
        RunError: the folder was deleted or renamed.
    """
    for folder, before in held.items():
        is_the_same = folder.exists() and os.path.samestat(folder.stat(), before)
        if folder in path.parents and not is_the_same:
            raise RunError(f"{folder} was deleted or renamed while this run was writing into it")


def take_lock(file: IO[str]) -> bool:
    """Whether this process now holds the lock on an open file."""
    try:
        if sys.platform == "win32":
            file.seek(1 << 30)  # beyond the text, so that others can read it
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        print(f"{file.name} cannot be locked: do not start a second run in its folder", flush=True)
    return True
