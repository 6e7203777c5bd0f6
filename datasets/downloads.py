"""Downloads by torchvision, with a timeout and with advice to the user when they fail."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from system.errors import InputError

PATIENCE = 20.0  # seconds without a new byte before a download is abandoned


class DatasetUnavailable(InputError):
    """The dataset is not on disk and cannot be downloaded.

    Args:
        message: for the user.
        reason: why it could not be downloaded.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def unavailable(title: str, data_dir: Path, ways_out: str, reason: str) -> DatasetUnavailable:
    """The error for a dataset that could not be downloaded.

    Args:
        title: the dataset's name in messages.
        ways_out: what the user can do now, in full sentences.
    """
    return DatasetUnavailable(
        f"{title} is not in {data_dir} and could not be downloaded ({reason}). {ways_out}", reason
    )


def run_download(
    title: str, data_dir: Path, ways_out: str, folder: Path, command: Sequence[str]
) -> None:
    """Let torchvision download a dataset, but give up when nothing arrives for `PATIENCE` seconds.

    The download runs in its own process, since a thread that waits for a silent server (or for a
    name that does not resolve) cannot be stopped.

    Args:
        title, data_dir, ways_out: as for `unavailable`.
        folder: the folder that grows while data arrive.
        command: Python code for the download, and its arguments.

    Raises:
        DatasetUnavailable: the download failed or was abandoned.
    """
    print(f"Downloading {title} to {data_dir} ...", flush=True)
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", *command], stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            wait_while_growing(child, folder)
            ended = child.poll() is not None
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    if child.returncode != 0:
        last = next((line.strip() for line in reversed(said) if line.strip()), "no reason given")
        reason = last if ended else f"nothing arrived for {PATIENCE:g} seconds"
        raise unavailable(title, data_dir, ways_out, reason)


def wait_while_growing(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when `child` has ended, or when `folder` has not changed for `PATIENCE` seconds."""
    size, since = -2, time.monotonic()
    while child.poll() is None and time.monotonic() - since < PATIENCE:
        time.sleep(0.1)
        now = size_of(folder)
        if now != size:
            size, since = now, time.monotonic()


def size_of(folder: Path) -> int:
    """The total size in bytes of the files below a folder, or -1 if there is no such folder."""
    if not folder.is_dir():
        return -1
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # renamed or removed just now
            size += path.stat().st_size
    return size
