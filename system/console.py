"""Output of this process: how much it prints and where; and whether it is one of several.

Imports nothing heavy, so that `--help` and usage errors appear at once.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TextIO


class Verbosity:
    """How much this process prints, as set by `--quiet` and `--verbose`."""

    quiet = False
    verbose = False


def nowhere() -> TextIO:
    """A stream that discards all output."""
    return open(os.devnull, "w", errors="backslashreplace")


class Output(io.TextIOWrapper):
    """Standard output or error that discards text after its reader is gone, as in
    `train.py | head -1`."""

    def write(self, text: str) -> int:
        with suppress(BrokenPipeError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            super().flush()


def shows_bars(stream: TextIO) -> bool:
    """Whether to show progress bars on this stream: not in files, and not with `--quiet`."""
    return stream.isatty() and not Verbosity.quiet


def is_one_of_several() -> bool:
    """Whether this process was started together with others, for example by torchrun."""
    return os.environ.get("WORLD_SIZE", "") not in ("", "1")
