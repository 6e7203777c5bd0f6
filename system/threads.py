"""As many threads as there are cores to run them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch


def usable_cores() -> int:
    """Cores that this process may use: a container or taskset can allow fewer than there are."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return cores if quota == "max" else min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return cores


def fit_threads_to_cores() -> str:
    """Let PyTorch use no more threads than cores; what to tell the user, empty if nothing.

    Threads beyond the cores wait for each other in every operation, and a step takes many times
    as long. A number that the user has set is left alone, but they are told.
    """
    threads, cores = torch.get_num_threads(), usable_cores()
    if threads <= cores:
        return ""
    if "OMP_NUM_THREADS" in os.environ:
        return f"OMP_NUM_THREADS asks for {threads} threads on {cores} usable cores: expect it slow"
    torch.set_num_threads(cores)
    return ""
