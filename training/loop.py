"""The training loop: batches, optimiser steps, the moving average, and what is written when."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from checkpoints import save_checkpoint
from datasets import Dataset
from datasets.units import Units
from diffusion import Diffusion
from guidance import conditioned, drop, with_examples
from models.backbone import Backbone
from models.unet import BatchDropout
from plots.pictures import make_pictures
from system.compilation import compile_or_fall_back, reason_not_to_compile
from system.console import shows_bars
from system.distributed import Group
from system.errors import InputError, RunError, Stopped
from system.interrupts import StopRequests
from system.precision import choose_precision, in_precision
from training.history import History
from training.optimizers import Together, make_optimizers
from training.preview import Preview
from training.saving import state_of
from training.tensorboard import Board
from utils import EMA

READ_EVERY = 20  # steps between two readings of the loss; each one makes the host wait
COMPILE_EARNS = 200_000  # images from which on compiling for a GPU pays

# The loss of examples (B, ...), their labels (B,) if there are any, timesteps (B,) and noise.
BatchLoss = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]


def learning_rate(kind: str, peak: float, progress: float) -> float:
    """The learning rate at a progress of 0 to 1: `constant`, or a `cosine` from peak to zero."""
    if kind == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


class Trainer:
    """Trains a network on data that stay on the device, and writes the run's files.

    Several processes train the same weights: each takes its part of every batch and of its random
    draws, so the run does not depend on how many they are, only on the size of the whole batch.

    Args:
        units: how the data become what the network sees.
        options: the parsed arguments of train.py.
        config: what is stored with the weights, so that they can be used without any option.
        group: the processes that train together.
    """

    def __init__(
        self,
        model: Backbone,
        diffusion: Diffusion,
        data: Dataset,
        units: Units,
        options: argparse.Namespace,
        config: dict[str, Any],
        device: torch.device,
        group: Group,
    ) -> None:
        self.model = model.to(device).train()
        self.diffusion = diffusion
        self.units = units
        names = data.class_names
        self.examples = data.examples.to(device)
        self.data_digest = data.digest()
        self.classes = len(config["label_counts"])
        self.labels = data.labels.to(device) if self.classes else None
        self.options = options
        self.config = config
        self.device = device
        self.group = group
        self.folder: Path = options.output_dir
        if len(data) < group.size:
            raise InputError(f"{len(data)} examples are too few for {group.size} processes")
        # Of all processes together; each takes an equal part.
        self.batch_size = min(options.batch_size, len(data) // group.size) * group.size
        self.steps_per_epoch = len(data) // self.batch_size
        self.total_steps = options.epochs * self.steps_per_epoch
        self.parameters = list(self.model.parameters())
        self.ema = EMA(self.model, options.ema_decay)
        self.precision = choose_precision(options.precision, str(config["kind"]), device)
        self.optimizers = make_optimizers(options.optimizer, self.model, options.lr, device)
        shared: nn.Module = self.model
        if group.size > 1:
            shared = nn.parallel.DistributedDataParallel(self.model)
            for layer in self.model.modules():
                if isinstance(layer, BatchDropout):
                    layer.part, layer.parts = group.rank, group.size
        self.network = in_precision(shared, self.precision, device)
        # Half precision loses small gradients, so they are scaled up; otherwise this does nothing.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.batch_loss: BatchLoss = self.eager_loss
        self.preview = Preview(
            in_precision(self.ema.model, self.precision, device),
            *(
                diffusion,
                make_pictures(units, names),
                with_examples(config["label_counts"]),
                options.num_samples,
            ),
            *(options.seed, device),
            stride=options.show_image_step,
        )
        self.history = History()
        self.unread: list[tuple[int, int, Tensor, Tensor, float]] = []
        self.step = 0  # optimiser steps so far
        self.epoch = 1  # the one that is going on
        self.position = 0  # steps of it that are done
        # Its examples, in the order in which they are taken.
        self.order = torch.arange(len(data), device=device)
        self.board: Board | None = None
        self.elapsed = 0.0  # seconds of training before this process
        self.started = time.perf_counter()  # of the whole run, had it never been interrupted
        self.stop = StopRequests()

    # ------------------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Train to the end of the last epoch.

        Raises:
            RunError: the loss, the gradient or the weights are no longer finite.
            Stopped: the process was asked to stop; the text says how to go on.
        """
        self.compile()
        self.started = time.perf_counter() - self.elapsed
        self.last_reading = self.last_saving = time.perf_counter()
        # Without a terminal a bar would fill a log file; a line for each epoch does not.
        with (
            tqdm(
                total=self.total_steps * self.batch_size,
                initial=((self.epoch - 1) * self.steps_per_epoch + self.position) * self.batch_size,
                unit=f" {self.config['kind']}",
                disable=not (shows_bars(sys.stderr) and self.group.leads),
                smoothing=0.1,
            ) as self.bar,
            self.stop,
            self.recording(),
        ):
            while self.epoch <= self.options.epochs:
                self.train_epoch()
                self.finish_epoch()
        if self.group.leads:
            save_checkpoint(self.folder / "model_final.pt", self.config, self.model, self.ema)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the record, which is whole however the block ends."""
        if not self.group.leads:
            yield
            return
        if self.options.tensorboard:
            self.board = Board(self.folder / "tensorboard", self.step)
        try:
            yield
        except BaseException:
            for keep in (lambda: self.history.write(self.folder), self.close_board):
                with suppress(Exception):  # what ends the run is what counts
                    keep()
            raise
        self.close_board()

    def close_board(self) -> None:
        if self.board is not None:
            self.board.close()

    def train_epoch(self) -> None:
        """One pass over the shuffled data, or the rest of it. Every batch is full: the few examples
        of an incomplete last one are left out of this epoch (others in the next), so that shapes
        never change."""
        self.bar.set_description(f"epoch {self.epoch}/{self.options.epochs}")
        if self.position == 0:
            self.order = torch.randperm(len(self.examples), device=self.device)
        while self.position < self.steps_per_epoch:
            start = self.position * self.batch_size
            done = (self.epoch - 1) * self.steps_per_epoch + self.position
            lr = learning_rate(self.options.lr_schedule, self.options.lr, done / self.total_steps)
            loss, norm = self.train_step(self.order[start : start + self.batch_size], lr)
            self.step += 1
            self.position += 1
            self.unread.append((self.epoch, self.step, loss, norm, lr))
            alone_and_asked = self.group.size == 1 and self.stop.received is not None
            if len(self.unread) >= READ_EVERY or alone_and_asked:
                self.read_losses()
                self.save_or_stop()
        self.read_losses()

    def finish_epoch(self) -> None:
        """Write what is due after this epoch, and turn to the next."""
        options, epoch = self.options, self.epoch
        self.epoch, self.position = epoch + 1, 0
        last = epoch == options.epochs
        if self.group.leads and (last or epoch % options.sample_interval == 0):
            picture = self.preview.draw(epoch, self.folder / "samples")
            if self.board is not None:
                self.board.picture(picture, self.step)
            if self.bar.disable:
                self.report(epoch)
        if self.group.leads:
            self.history.write(self.folder, always=last)
        if self.group.leads and (last or epoch % options.save_interval == 0):
            self.save(f"model_epoch_{epoch:03d}.pt")
        if not last:
            self.save_or_stop()
        # What was written here is not training time: keep it out of the next rate.
        self.last_reading = time.perf_counter()

    # ------------------------------------------------------------------------------ one step

    def eager_loss(self, examples: Tensor, labels: Tensor | None, t: Tensor, eps: Tensor) -> Tensor:
        """The loss of a batch as it is stored, with its timesteps and noise. All that depends on
        the network is in here, and no randomness: it is what gets compiled."""
        model = conditioned(self.network, labels)
        return self.diffusion.loss_at(model, self.units.to_model(examples), t, eps)

    def compile(self) -> None:
        """Replace `eager_loss` by a compiled one where that is possible and worthwhile."""
        images = self.total_steps * self.batch_size
        # Not on a CPU: convolutions are two thirds of a step there, and the fused rest takes as
        # long as PyTorch's own kernels (715 images/s compiled, 725 without; benchmarks/RESULTS.md).
        worthwhile = self.device.type == "cuda" and images >= COMPILE_EARNS
        reason = reason_not_to_compile(self.options.compile, self.device, worthwhile)
        if reason:
            if self.options.compile == "on":
                print(f"not compiled: {reason}", flush=True)
            return
        print("compiling, half a minute or so ...", flush=True)
        self.batch_loss = compile_or_fall_back(self.eager_loss, self.try_step, self.device)

    def try_step(self, loss: BatchLoss) -> None:
        """A step that changes nothing, with a batch of the run's shape."""
        batch = torch.arange(self.batch_size, device=self.device)
        loss(*self.draw(batch, torch.Generator(self.device))).backward()
        self.model.zero_grad()

    def draw(
        self, batch: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """This process's part of a batch: examples, labels, timesteps and noise.

        Everything random is drawn for the whole batch, in all processes alike.

        Args:
            batch: indices of the examples of the whole batch (B,).
        """
        count, device = self.batch_size, self.device
        t = self.diffusion.draw_timesteps(count, generator)
        eps = torch.randn(count, *self.units.shape, generator=generator, device=device)
        each = count // self.group.size
        part = slice(self.group.rank * each, (self.group.rank + 1) * each)
        labels = None
        if self.labels is not None:
            share = self.options.label_dropout
            labels = drop(self.labels[batch], self.classes, share, generator)[part]
        return self.examples[batch[part]], labels, t[part], eps[part]

    def train_step(self, batch: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """One optimiser step on the examples of these indices (B,); its loss and the norm of its
        gradient, both still on the device."""
        together = Together(self.optimizers)
        for group in together.param_groups:
            group["lr"] = lr
        loss = self.batch_loss(*self.draw(batch))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(together)  # type: ignore[arg-type]  # it has what the scaler uses
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.grad_clip or math.inf)
        self.scaler.step(together)  # type: ignore[arg-type]
        self.scaler.update()
        self.model.zero_grad()
        self.ema.update(self.model)
        # A copy, since the next replay of a CUDA graph overwrites its outputs.
        return loss.detach().clone(), norm

    # ----------------------------------------------------------------- what was measured

    def read_losses(self) -> None:
        """Fetch the losses since the last reading, in one transfer, into history and bar.

        Raises:
            RunError: one of them, or a gradient, is not finite.
        """
        if not self.unread:
            return
        measured = torch.stack([torch.stack(row[2:4]) for row in self.unread])
        values = self.group.mean(measured).tolist()
        now = time.perf_counter()
        images = len(values) * self.batch_size
        rate = images / (now - self.last_reading)
        self.last_reading = now
        for (epoch, step, _, _, lr), (loss, norm) in zip(self.unread, values, strict=True):
            # Of half precision the scaler leaves out steps with such a gradient by itself.
            for name, value in (("loss", loss), ("gradient's norm", norm)):
                if not math.isfinite(value) and not (name != "loss" and self.scaler.is_enabled()):
                    raise RunError(
                        f"the {name} became {value} at step {step} (learning rate {lr:g}); try a"
                        " smaller --lr or --grad_clip. Checkpoints from before are as they were"
                    )
            self.history.rows.append((epoch, step, loss, lr, now - self.started, rate))
        self.unread.clear()
        if self.board is not None:
            self.board.losses(self.history.rows[-len(values) :])
        mean = sum(loss for loss, _ in values) / len(values)
        self.bar.set_postfix_str(f"loss {mean:.4f}", refresh=False)
        self.bar.update(images)

    def report(self, epoch: int) -> None:
        """Print what the bar would show, as a line: means over the epoch."""
        rows = self.history.rows[-self.steps_per_epoch :]
        loss, rate = (sum(row[k] for row in rows) / len(rows) for k in (2, 5))
        print(
            f"epoch {epoch}/{self.options.epochs}  loss {loss:.4f}  {rate:,.0f}"
            f" {self.config['kind']}/s  {time.perf_counter() - self.started:.0f} s",
            flush=True,
        )

    # ----------------------------------------------------------------- saving and going on

    def save_or_stop(self) -> None:
        """Save when it is time to, and stop when asked to; all processes alike.

        Raises:
            Stopped: after saving.
        """
        minutes = self.options.save_every_minutes
        due = minutes is not None and time.perf_counter() - self.last_saving > 60 * minutes
        asked = self.group.largest(self.stop.received or 0)
        if self.group.largest(due) or asked:
            path = self.save(f"model_step_{self.step:07d}.pt") if self.group.leads else self.folder
            self.last_saving = time.perf_counter()
        if asked:
            if not self.group.leads:
                raise Stopped(asked, "")  # process 0 says it
            raise Stopped(
                asked,
                f"stopped after step {self.step:,}, in epoch {self.epoch}; all of it is in {path}."
                f" To go on: python train.py --resume --output_dir {self.folder}",
            )

    def save(self, name: str) -> Path:
        """Write a checkpoint from which `--resume` goes on as if nothing had happened.

        Raises:
            RunError: the weights are not finite. Nothing is written.
        """
        weights = [*self.parameters, *self.ema.averages]
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise RunError(
                f"after step {self.step} the weights are not finite numbers; try a smaller --lr."
                " Checkpoints from before are as they were"
            )
        path = self.folder / "checkpoints" / name
        save_checkpoint(path, self.config, self.model, self.ema, state_of(self))
        remove_older(path, self.options.keep_checkpoints)
        return path


def remove_older(newest: Path, keep: int | None) -> None:
    """Delete checkpoints that `newest` makes superfluous.

    Those within an epoch always are; of those after an epoch the last `keep` stay, or all.
    """
    superfluous = [path for path in newest.parent.glob("model_step_*.pt") if path != newest]
    if keep is not None:
        after = set(newest.parent.glob("model_epoch_*.pt"))
        others = sorted(after - {newest}, key=lambda path: (path.stat().st_mtime_ns, path.name))
        superfluous += others[: max(0, len(after) - keep)]
    for path in superfluous:
        path.unlink()
