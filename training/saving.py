"""When checkpoints are written, which are kept, and how a run stops on request."""

from __future__ import annotations

import time
from pathlib import Path

from checkpoints import save_checkpoint
from system.errors import RunError, Stopped
from system.interrupts import StopRequests
from training.run import Run


class Saver:
    """Writes the checkpoints of a run; among several processes, only the first one writes.

    Attributes:
        stop: while in use (`with`), Ctrl-C and SIGTERM ask the run to stop.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.settings, self.group = run, run.settings, run.group
        self.stop = StopRequests()
        self.start_clock()

    def start_clock(self) -> None:
        """Start to count the minutes until the next save."""
        self.last_saving = time.perf_counter()

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether the run was asked to stop, if this is its only process."""
        return self.group.size == 1 and self.stop.received is not None

    def save_or_stop_when_due(self) -> None:
        """Save if it is time, and stop if requested, in all processes together.

        Raises:
            Stopped: after saving; the message says how to resume.
        """
        minutes, run = self.settings.save_every_minutes, self.run
        due = minutes is not None and time.perf_counter() - self.last_saving > 60 * minutes
        asked = self.group.largest(self.stop.received or 0)
        if not (self.group.largest(due) or asked):
            return
        folder = self.settings.output_dir
        path = self.save(f"model_step_{run.step:07d}.pt") if self.group.leads else folder
        self.start_clock()
        if not asked:
            return
        if not self.group.leads:
            raise Stopped(asked, "")  # process 0 prints the message
        raise Stopped(
            asked,
            f"stopped after step {run.step:,}, in epoch {run.epoch}; the state is saved in {path}."
            f" To resume: python train.py --resume --output_dir {folder}",
        )

    def end_of_epoch(self, epoch: int) -> None:
        """Save if it is due after this epoch; stop if requested, unless it was the last epoch."""
        last = epoch == self.settings.epochs
        if self.group.leads and (last or epoch % self.settings.save_interval == 0):
            self.save(f"model_epoch_{epoch:03d}.pt")
        if not last:
            self.save_or_stop_when_due()

    def save(self, name: str) -> Path:
        """Write a checkpoint from which `--resume` continues as if without interruption.

        Raises:
            RunError: the weights are not finite; nothing is written.
        """
        run = self.run
        if not run.weights_are_finite():
            raise RunError(
                f"after step {run.step} the weights are not finite numbers; try a smaller --lr."
                " Earlier checkpoints are unchanged"
            )
        path = self.settings.output_dir / "checkpoints" / name
        save_checkpoint(path, run.config, run.model, run.ema, run.state())
        remove_older(path, self.settings.keep_checkpoints)
        return path

    def save_final(self) -> None:
        """Write the weights alone, for sampling."""
        if self.group.leads:
            path = self.settings.output_dir / "model_final.pt"
            save_checkpoint(path, self.run.config, self.run.model, self.run.ema)


def remove_older(newest: Path, keep: int | None) -> None:
    """Delete checkpoints that `newest` makes superfluous.

    These are all that were written within an epoch, and, if `keep` is given, all but the last
    `keep` of those written after an epoch.
    """
    superfluous = [path for path in newest.parent.glob("model_step_*.pt") if path != newest]
    if keep is not None:
        after = set(newest.parent.glob("model_epoch_*.pt"))
        others = sorted(after - {newest}, key=lambda path: (path.stat().st_mtime_ns, path.name))
        superfluous += others[: max(0, len(after) - keep)]
    for path in superfluous:
        path.unlink()
