"""The training loop."""

from __future__ import annotations

import math

from torch import Tensor

from guidance import with_examples
from plots.pictures import make_pictures
from plots.schedules import save_moves
from system.precision import in_precision
from training.batches import Batch
from training.floor import least_loss
from training.loss import compiled_if_worthwhile, make_loss
from training.objectives import OBJECTIVES
from training.preview import Preview
from training.record import Record
from training.run import Run
from training.saving import Saver


def learning_rate(kind: str, peak: float, progress: float) -> float:
    """The learning rate at a progress of 0 to 1: `constant`, or a `cosine` from peak to zero."""
    if kind == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


class Trainer:
    """Trains a run to the end of its last epoch and writes the run's files.

    Several processes train the same weights: each takes its part of every batch.

    Args:
        run: new, or restored from a checkpoint.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.settings = run, run.settings
        self.loss = make_loss(run, OBJECTIVES[run.settings.objective])
        self.record, self.saver = Record(run), Saver(run)
        self.preview = make_preview(run)

    def train(self) -> None:
        """Train to the end.

        Raises:
            RunError: the loss, the gradient or the weights are no longer finite.
            Stopped: the process was asked to stop; the text says how to continue.
        """
        run, settings, record, saver = self.run, self.settings, self.record, self.saver
        self.loss = compiled_if_worthwhile(self.loss, run)
        run.history.floor = least_loss(run) if run.group.leads else None
        run.start_clock()
        saver.start_clock()
        with saver.stop, record:
            for epoch in run.remaining_epochs():
                record.start_epoch(epoch)
                for batch in run.batches.of_epoch():
                    lr = learning_rate(settings.lr_schedule, settings.lr, run.progress)
                    loss, norm = self.step(batch, lr)
                    record.add(loss, norm, lr)
                    if record.is_full or saver.is_asked_to_stop:
                        record.read()
                        saver.save_or_stop_when_due()
                record.read()
                self.end_of_epoch(epoch)
        saver.save_final()

    def step(self, batch: Batch, lr: float) -> tuple[Tensor, Tensor]:
        """Take a step; return its loss and the norm of its gradient, on the device."""
        run = self.run
        if run.stages is not None:
            run.stages.advance(run.progress)
        losses = self.loss(*batch)
        # A copy, since the next replay of a CUDA graph overwrites its outputs.
        noted = losses.detach().clone()
        norm = run.optimizers.step(losses.mean(), lr)
        if run.learned is not None:  # only now, since the backward pass may read its tables
            run.learned.record(batch.t, noted)
        run.ema.update(run.model)
        run.step += 1
        return noted.mean(), norm

    def end_of_epoch(self, epoch: int) -> None:
        """Draw and write what is due after this epoch, and move on to the next."""
        self.run.epoch = epoch + 1
        learned, folder = self.run.learned, self.settings.output_dir
        if learned is not None:
            learned.end_of_epoch()
        due = epoch == self.settings.epochs or epoch % self.settings.sample_interval == 0
        picture = None
        if due and self.run.group.leads:
            picture = self.preview.draw(epoch, folder / "samples")
            if learned is not None:
                save_moves(learned.path, folder / "learned_schedule.png")
        self.record.end_of_epoch(epoch, picture)
        self.saver.end_of_epoch(epoch)
        self.record.leave_out_pause()


def make_preview(run: Run) -> Preview:
    """What draws samples of the averaged weights after an epoch."""
    network = in_precision(run.ema.model, run.precision, run.device)
    pictures = make_pictures(run.units, run.config["class_names"])
    labels = with_examples(run.config["label_counts"])
    return Preview(network, run.diffusion, pictures, labels, run.settings)
