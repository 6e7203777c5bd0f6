"""What this process prints: how much, and where to; and whether it is one of several.

Imports nothing heavy, so that `--help` and wrong usage answer at once.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TextIO


class Verbosity:
    """How much this process prints; the options `--quiet` and `--verbose` set it."""

    quiet = False
    verbose = False


def nowhere() -> TextIO:
    """A stream of which nothing is kept."""
    return open(os.devnull, "w", errors="backslashreplace")


class Output(io.TextIOWrapper):
    """Standard output or error of which the rest is left out when nobody reads it any more, as in
    `train.py | head -1`."""

    def write(self, text: str) -> int:
        with suppress(BrokenPipeError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            super().flush()


def shows_bars(stream: TextIO) -> bool:
    """Whether progress bars belong on this stream: not in files, and not with `--quiet`."""
    return stream.isatty() and not Verbosity.quiet


def is_one_of_several() -> bool:
    """Whether this process was started together with others, as torchrun does it."""
    return os.environ.get("WORLD_SIZE", "") not in ("", "1")
