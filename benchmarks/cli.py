"""Whole commands, as a user runs them: seconds from start to end, and peak memory.

    python benchmarks/cli.py

Each command runs three times (`--runs`) in a temporary folder with built-in data; the table gives
the median time. Every process starts cold, except for files that the system keeps in memory.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from cli.parser import Parser
from system.values import POSITIVE

# The order matters: samples are made by the model trained before them.
COMMANDS = (
    "train.py --help",
    "sample.py --help",
    "visualize_diffusion.py --help",
    "visualize_diffusion.py --dataset digits",
    "train.py --dataset dino",
    "sample.py --num_images 10000 --sampler ddim --output points.npy",
    "train.py --dataset digits --subset 12800 --epochs 2",
    "sample.py",
    "sample.py --sampler ddim --steps 50",
    "sample.py --sampler ddim --steps 20",
)


def measure(command: str, folder: str) -> tuple[float, float]:
    """Seconds and peak memory (GB) of one run."""
    script, *arguments = command.split()
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / script), *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return seconds, usage.ru_maxrss * unit / 1e9


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--runs", type=POSITIVE.parse, default=3, help="runs of each command")
    runs = parser.parse_args().runs
    print("| command | seconds | peak memory |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            seconds, memory = zip(*(measure(command, folder) for _ in range(runs)), strict=True)
            median, peak = statistics.median(seconds), max(memory)
            print(f"| `python {command}` | {median:.2f} | {peak:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
