"""How much memory there is, and how much of it a data set may take."""

from __future__ import annotations

import math
import os
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup/memory.max")  # of cgroup v2: bytes, or the word max
COPIES = 3  # of the images, at most, while they are read and fitted


def total_memory() -> float:
    """Bytes of memory of this machine, or of the container that this process is in; infinite where
    the system does not tell."""
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        machine = math.inf
    try:
        return min(machine, float(CONTAINER.read_text()))
    except (OSError, ValueError):
        return machine


def most_for_data() -> float:
    """Bytes that a data set may take, so that all copies of it fit into the memory."""
    return total_memory() / COPIES
