"""The record of a run: one row for each step, in history.csv and training_loss.png."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

import plots.loss
from system.files import atomic_write

LARGEST_SHARE = 0.05  # of the time that writing may take during the training


@dataclass
class History:
    """What was measured at each step; `seconds` counts from the start of the training.

    Attributes:
        floor: the least loss that is possible, see `training.floor`; None where it is not known.
    """

    COLUMNS = ("epoch", "step", "loss", "lr", "seconds", "images_per_second")
    rows: list[tuple[int, int, float, float, float, float]] = field(default_factory=list)
    floor: float | None = None

    last_writing: tuple[float, float] = (0.0, 0.0)  # when it ended, seconds that it took

    def write(self, folder: Path, always: bool = True) -> None:
        """Write both files.

        Args:
            always: if False, write only if that takes at most `LARGEST_SHARE` of the time, since
                drawing the curve may take far longer than an epoch.
        """
        now = time.perf_counter()
        ended, took = self.last_writing
        if not self.rows or not (always or took <= LARGEST_SHARE * (now - ended)):
            return
        self.draw(folder)
        self.save(folder)
        done = time.perf_counter()
        self.last_writing = (done, done - now)

    def save(self, folder: Path) -> None:
        with (
            atomic_write(folder / "history.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(self.COLUMNS)
            for epoch, step, loss, lr, seconds, rate in self.rows:
                writer.writerow(
                    (epoch, step, f"{loss:.6g}", f"{lr:.6g}", f"{seconds:.2f}", f"{rate:.1f}")
                )

    def draw(self, folder: Path) -> None:
        ends = [a[1] for a, b in pairwise(self.rows) if a[0] != b[0]]
        losses = [row[2] for row in self.rows]
        path = folder / "training_loss.png"
        plots.loss.save_loss_curve(losses, [*ends, self.rows[-1][1]], path, self.floor)

    def state(self) -> Tensor:
        """All rows as float64 (steps, columns), for a checkpoint."""
        return torch.tensor(self.rows, dtype=torch.float64).view(-1, len(self.COLUMNS))

    def restore(self, state: Tensor) -> None:
        self.rows = [(int(row[0]), int(row[1]), *row[2:]) for row in state.tolist()]
