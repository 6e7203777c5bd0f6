"""What a run shows and writes while it trains: a bar or lines, its history, TensorBoard."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from system.console import shows_bars
from system.errors import RunError
from system.words import duration
from training.run import Run
from training.tensorboard import TensorBoard, summary_writer

READ_EVERY = 20  # steps between two readings of the loss; each one makes the host wait
PACE_KNOWN = 3  # readings after which a run says how long it will take; the first ones are slower
LONG = 60  # seconds; shorter runs do not print it
# The whole bar fits into 60 columns.
BAR = "{desc} {percentage:.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining}, {rate_fmt}{postfix}]"


class Measured(NamedTuple):
    """One step, its loss and the norm of its gradient still on the device."""

    epoch: int
    step: int
    loss: Tensor
    norm: Tensor
    lr: float


class Record:
    """Keeps the record of a run, which is complete however the `with` block ends.

    With several processes, all read the losses and the first one writes.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.settings, self.group = run, run.settings, run.group
        self.unread: list[Measured] = []
        self.readings = 0
        self.tensorboard: TensorBoard | None = None
        self.unit = run.config["kind"]
        if self.settings.tensorboard:
            summary_writer()  # which must be noticed before the run changes its folder

    def __enter__(self) -> Record:
        run, size = self.run, self.run.batches.size
        self.last_reading = time.perf_counter()
        if self.group.leads and self.settings.tensorboard:
            self.tensorboard = TensorBoard(self.settings.output_dir / "tensorboard", run.step)
        # Without a terminal a bar would fill a log file; a line for each epoch does not.
        self.bar = tqdm(
            total=run.total_steps * size,
            initial=run.steps_done * size,
            unit="",
            unit_scale=True,
            bar_format=BAR,
            disable=not (shows_bars(sys.stderr) and self.group.leads),
            smoothing=0.1,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close_tensorboard()
                return
            for keep in (self.write_history, self.close_tensorboard):
                with suppress(Exception):  # must not hide the error that ended the run
                    keep()
        finally:
            self.bar.close()

    def write_history(self, always: bool = True) -> None:
        if self.group.leads:
            self.run.history.write(self.settings.output_dir, always)

    def close_tensorboard(self) -> None:
        if self.tensorboard is not None:
            self.tensorboard.close()

    # ----------------------------------------------------------------------------- each step

    def start_epoch(self, epoch: int) -> None:
        self.bar.set_description(f"epoch {epoch}/{self.settings.epochs}")

    def add(self, loss: Tensor, norm: Tensor, lr: float) -> None:
        """Note the loss, gradient norm and learning rate of the step just done."""
        self.unread.append(Measured(self.run.epoch, self.run.step, loss, norm, lr))

    @property
    def is_full(self) -> bool:
        return len(self.unread) >= READ_EVERY

    def read(self) -> None:
        """Fetch the losses since the last reading, in one transfer, into history and bar.

        Raises:
            RunError: one of them, or a gradient, is not finite.
        """
        if not self.unread:
            return
        measured = torch.stack([torch.stack((row.loss, row.norm)) for row in self.unread])
        values = self.group.mean(measured).tolist()
        now = time.perf_counter()
        images = len(values) * self.run.batches.size
        rate = images / (now - self.last_reading)
        self.last_reading = now
        rows = self.run.history.rows
        for row, (loss, norm) in zip(self.unread, values, strict=True):
            self.check_finite(row, loss, norm)
            seconds = now - self.run.started
            rows.append((row.epoch, row.step, loss, row.lr, seconds, rate))
        self.unread.clear()
        if self.tensorboard is not None:
            self.tensorboard.losses(rows[-len(values) :])
        mean = sum(loss for loss, _ in values) / len(values)
        self.bar.set_postfix_str(f"loss {mean:.4f}", refresh=False)
        self.bar.update(images)
        self.readings += 1
        if self.readings == PACE_KNOWN:
            self.say_how_long(rate)

    def say_how_long(self, rate: float) -> None:
        """Print how long the rest takes at the rate (examples a second) of the last steps."""
        run = self.run
        seconds = (run.total_steps - run.steps_done) * run.batches.size / rate
        if self.group.leads and seconds >= LONG:
            tqdm.write(f"about {duration(seconds)} to go, at {rate:,.0f} {self.unit}/s")

    def check_finite(self, row: Measured, loss: float, norm: float) -> None:
        """Stop a run whose numbers are no longer finite.

        Raises:
            RunError: at which step this happened.
        """
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            # In half precision the scaler itself skips steps with such a gradient.
            skipped = name != "loss" and self.run.optimizers.scaler.is_enabled()
            if not (math.isfinite(value) or skipped):
                raise RunError(
                    f"the {name} became {value} at step {row.step} (learning rate {row.lr:g}); try"
                    " a smaller --lr or --grad_clip. Earlier checkpoints are unchanged"
                )

    # ---------------------------------------------------------------------------- each epoch

    def end_of_epoch(self, epoch: int, picture: Path | None) -> None:
        """Write the record; if there is a picture and no bar, also print a line.

        Args:
            picture: of samples after this epoch, if one was drawn.
        """
        if picture is not None:
            if self.tensorboard is not None:
                self.tensorboard.picture(picture, self.run.step)
            if self.bar.disable:
                self.print_line(epoch)
        self.write_history(always=epoch == self.settings.epochs)

    def print_line(self, epoch: int) -> None:
        """Print what the bar would show, as means over the epoch."""
        rows = self.run.history.rows[-self.run.batches.per_epoch :]
        loss, rate = (sum(row[k] for row in rows) / len(rows) for k in (2, 5))
        print(
            f"epoch {epoch}/{self.settings.epochs}  loss {loss:.4f}  {rate:,.0f} {self.unit}/s"
            f"  {self.run.seconds:.0f} s",
            flush=True,
        )

    def leave_out_pause(self) -> None:
        """Leave the time for drawing and writing since the last reading out of the next rate."""
        self.last_reading = time.perf_counter()
