"""The training loop: batches, optimiser steps, the moving average, and what is written when."""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import plots
from compute import choose_precision, compile_or_fall_back, in_precision, reason_not_to_compile
from datasets import Dataset
from diffusion import Diffusion
from errors import RunError
from guidance import conditioned, drop, spread
from samplers import ddim, trailing_timesteps
from spaces import Space
from utils import EMA, SeededNoise, atomic_write, save_checkpoint

READ_EVERY = 20  # steps between two readings of the loss; each one makes the host wait
COMPILE_EARNS = 200_000  # images from which on compiling for a GPU pays
PREVIEW_STEPS = 20  # denoising steps of the picture after each epoch: quick, and good enough

# The loss of examples (B, ...), their labels (B,) if there are any, timesteps (B,) and noise.
BatchLoss = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]


@dataclass
class History:
    """One row for each step: what history.csv holds and training_loss.png shows."""

    COLUMNS = ("epoch", "step", "loss", "lr", "seconds", "images_per_second")
    rows: list[tuple[int, int, float, float, float, float]] = field(default_factory=list)

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
        plots.save_loss_curve(losses, [*ends, self.rows[-1][1]], folder / "training_loss.png")


def learning_rate(kind: str, peak: float, step: int, total: int) -> float:
    """The learning rate of step 0 ... total - 1: `constant`, or a `cosine` from peak to zero."""
    if kind == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * step / total))


class Trainer:
    """Trains a network on data that stay on the device, and writes the run's files.

    Args:
        space: how the data become what the network sees, and how they are drawn.
        options: the parsed arguments of train.py.
        config: what is stored with the weights, so that they can be used without any option.
    """

    def __init__(
        self,
        model: nn.Module,
        diffusion: Diffusion,
        data: Dataset,
        space: Space,
        options: argparse.Namespace,
        config: dict[str, Any],
        device: torch.device,
    ) -> None:
        self.model = model.to(device).train()
        self.diffusion = diffusion
        self.space = space
        self.examples = data.examples.to(device)
        self.classes = len(config["label_counts"])
        self.labels = data.labels.to(device) if self.classes else None
        self.options = options
        self.config = config
        self.device = device
        self.folder: Path = options.output_dir
        self.batch_size = min(options.batch_size, len(data))
        self.steps_per_epoch = len(data) // self.batch_size
        self.total_steps = options.epochs * self.steps_per_epoch
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=options.lr, weight_decay=0.0, fused=device.type != "mps"
        )
        self.ema = EMA(self.model, options.ema_decay)
        self.precision = choose_precision(options.precision, str(config["kind"]), device)
        self.network = in_precision(self.model, self.precision, device)
        self.averaged_network = in_precision(self.ema.model, self.precision, device)
        # Half precision loses small gradients, so they are scaled up; otherwise this does nothing.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.batch_loss: BatchLoss = self.eager_loss
        # The same starting noise after every epoch, so that only the network changes.
        self.preview_noise = SeededNoise(options.seed, 0, options.num_samples, device).draw(
            *space.shape
        )
        self.history = History()
        self.unread: list[tuple[int, int, Tensor, float]] = []
        self.step = 0

    def run(self) -> None:
        """Train for all epochs.

        Raises:
            RunError: the loss is no longer finite.
            KeyboardInterrupt: after saving what was learned so far; its text says where.
        """
        self.compile()
        self.started = self.last_reading = time.perf_counter()
        # Without a terminal a bar would fill a log file; a line for each epoch does not.
        with tqdm(
            total=self.total_steps * self.batch_size,
            unit=f" {self.config['kind']}",
            disable=not sys.stderr.isatty(),
            smoothing=0.1,
        ) as self.bar:
            try:
                for epoch in range(1, self.options.epochs + 1):
                    self.train_epoch(epoch)
                    self.finish_epoch(epoch)
            except KeyboardInterrupt:
                path = self.folder / "checkpoints" / "model_interrupted.pt"
                self.save(path)
                self.history.save(self.folder)
                raise KeyboardInterrupt(
                    f"the model as it was after step {self.step} is in {path}"
                ) from None
        self.save(self.folder / "model_final.pt")

    def train_epoch(self, epoch: int) -> None:
        """One pass over the shuffled data. Every batch is full: the few examples of an incomplete
        last one are left out of this epoch (others in the next), so that shapes never change."""
        self.bar.set_description(f"epoch {epoch}/{self.options.epochs}")
        order = torch.randperm(len(self.examples), device=self.device)
        for i in range(self.steps_per_epoch):
            batch = order[i * self.batch_size : (i + 1) * self.batch_size]
            lr = learning_rate(
                self.options.lr_schedule, self.options.lr, self.step, self.total_steps
            )
            loss = self.train_step(batch, lr)
            self.step += 1
            self.unread.append((epoch, self.step, loss, lr))
            if len(self.unread) >= READ_EVERY:
                self.read_losses()
        self.read_losses()

    def eager_loss(self, examples: Tensor, labels: Tensor | None, t: Tensor, eps: Tensor) -> Tensor:
        """The loss of a batch as it is stored, with its timesteps and noise. All that depends on
        the network is in here, and no randomness: it is what gets compiled."""
        model = conditioned(self.network, labels)
        return self.diffusion.loss_at(model, self.space.to_model(examples), t, eps)

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
        t, eps = self.draw(torch.Generator(self.device))
        labels = None if self.labels is None else self.labels[: self.batch_size]
        loss(self.examples[: self.batch_size], labels, t, eps).backward()
        self.optimizer.zero_grad()

    def draw(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Timesteps (B,), uniform over 0 ... T-1, and noise (B, ...) of a batch."""
        count, device = self.batch_size, self.device
        timesteps = len(self.diffusion.schedule)
        t = torch.randint(timesteps, (count,), generator=generator, device=device)
        return t, torch.randn(count, *self.space.shape, generator=generator, device=device)

    def train_step(self, batch: Tensor, lr: float) -> Tensor:
        """One optimiser step on the examples of these indices (B,); its loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        labels = None
        if self.labels is not None:
            labels = drop(self.labels[batch], self.classes, self.options.label_dropout)
        loss = self.batch_loss(self.examples[batch], labels, *self.draw())
        self.scaler.scale(loss).backward()
        if self.options.grad_clip > 0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.options.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        return loss.detach().clone()  # the next replay of a CUDA graph overwrites its outputs

    def read_losses(self) -> None:
        """Fetch the losses since the last reading, in one transfer, into history and bar."""
        if not self.unread:
            return
        losses = torch.stack([loss for _, _, loss, _ in self.unread]).tolist()
        now = time.perf_counter()
        images = len(losses) * self.batch_size
        rate = images / (now - self.last_reading)
        self.last_reading = now
        for (epoch, step, _, lr), value in zip(self.unread, losses, strict=True):
            if not math.isfinite(value):
                raise RunError(
                    f"the loss became {value} at step {step} (learning rate {lr:g}); try a"
                    " smaller --lr or --grad_clip"
                )
            self.history.rows.append((epoch, step, value, lr, now - self.started, rate))
        self.unread.clear()
        self.bar.set_postfix_str(f"loss {sum(losses) / len(losses):.4f}", refresh=False)
        self.bar.update(images)

    def finish_epoch(self, epoch: int) -> None:
        """Write what is due after this epoch."""
        options = self.options
        if epoch % options.save_interval == 0:
            self.save(self.folder / "checkpoints" / f"model_epoch_{epoch:03d}.pt")
        if epoch == options.epochs or epoch % options.sample_interval == 0:
            self.save_samples(epoch)
            self.history.draw(self.folder)
            self.history.save(self.folder)
            if self.bar.disable:
                self.report(epoch)
        # What was written here is not training time: keep it out of the next rate.
        self.last_reading = time.perf_counter()

    def report(self, epoch: int) -> None:
        """Print what the bar would show, as a line: means over the epoch."""
        rows = self.history.rows[-self.steps_per_epoch :]
        loss, rate = (sum(row[k] for row in rows) / len(rows) for k in (2, 5))
        print(
            f"epoch {epoch}/{self.options.epochs}  loss {loss:.4f}  {rate:,.0f}"
            f" {self.config['kind']}/s  {time.perf_counter() - self.started:.0f} s",
            flush=True,
        )

    def save_samples(self, epoch: int) -> None:
        """Draw the samples that the averaged weights make from the run's fixed noise."""
        schedule = self.diffusion.schedule
        steps = min(PREVIEW_STEPS, len(schedule))
        timesteps = trailing_timesteps(len(schedule), steps)
        x = self.diffusion.starting_noise(self.preview_noise)
        labels = spread(range(self.classes), len(x)).to(self.device) if self.classes else None
        denoise = self.diffusion.denoiser(conditioned(self.averaged_network, labels))
        states = [x, *ddim(denoise, x, schedule, timesteps)]
        path = self.folder / "samples" / f"epoch_{epoch:03d}.png"
        title = f"Samples after epoch {epoch} (ddim, {steps} steps)"
        self.space.write(self.space.to_data(states[-1]), path, title, labels)
        if self.options.show_image_step:
            stride = max(1, round(self.options.show_image_step * steps / len(schedule)))
            shown = range(0, steps, stride)
            self.space.draw_panels(
                [self.space.to_data(states[i]) for i in (*shown, steps)],
                [*(f"t = {timesteps[i]}" for i in shown), "sample"],
                path.with_name(f"epoch_{epoch:03d}_process.png"),
                title,
            )

    def save(self, path: Path) -> None:
        save_checkpoint(path, self.config, self.model, self.ema)
