"""The number of threads, limited to that of the usable cores."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch


def usable_cores() -> int:
    """The number of cores that this process may use, which a container or taskset can limit."""
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
    """Limit PyTorch's threads to the usable cores; return a warning for the user, or "".

    With more threads than cores, threads wait for each other in every operation, and a step takes
    many times as long. A number set by the user is kept, with a warning.
    """
    threads, cores = torch.get_num_threads(), usable_cores()
    if threads <= cores:
        return ""
    if "OMP_NUM_THREADS" in os.environ:
        return f"OMP_NUM_THREADS is {threads}, but only {cores} cores are usable: this will be slow"
    torch.set_num_threads(cores)
    return ""
