"""How much memory there is, and how much of it a dataset may take."""

from __future__ import annotations

import math
import os
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup/memory.max")  # of cgroup v2: bytes, or the word max
COPIES = 3  # the most copies of the images at a time, while they are read and resized


def total_memory() -> float:
    """The memory, in bytes, of this machine or of the container of this process; infinite if
    unknown."""
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        machine = math.inf
    try:
        return min(machine, float(CONTAINER.read_text()))
    except (OSError, ValueError):
        return machine


def most_for_data() -> float:
    """The most bytes that a dataset may take, so that all its copies fit into memory."""
    return total_memory() / COPIES
