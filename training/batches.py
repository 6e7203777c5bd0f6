"""Batches of a data set that stays on the device, in an order that a checkpoint can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from datasets import Dataset
from guidance import drop_labels
from system.distributed import Group
from system.errors import InputError


class Batch(NamedTuple):
    """What an objective needs of a batch: all of its data, and all that is random about it."""

    examples: Tensor  # (B, ...), as data
    labels: Tensor | None  # int64 (B,); None for a network without classes
    t: Tensor  # timesteps, int64 (B,), or pairs of them (B, 2)
    eps: Tensor  # noise, float32 (B, *shape)


class Process(Protocol):
    """Where timesteps come from: a `Diffusion`, or what an objective draws from instead."""

    @property
    def device(self) -> torch.device: ...

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Timesteps to train on, int64 (count,), or pairs of them (count, 2)."""


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images (B, H, W) or (B, H, W, C), those chosen, bool (B,), with left and right exchanged."""
    return torch.where(chosen.view(-1, *[1] * (images.dim() - 1)), images.flip(2), images)


class Batches:
    """Shuffled batches with their timesteps and noise.

    Several processes draw the same numbers for the whole batch, and each takes its equal part. So
    what is learned depends on the size of the whole batch and not on how many processes there are.

    Args:
        process: draws the timesteps; the batches are on its device.
        batch_size: of one process, at most; with fewer examples it is smaller.
        classes: how many the network knows, which is also the label for none; 0 for batches
            without labels.
        label_dropout: the share of examples without their label.
        flip: whether half of the images are mirrored.

    Attributes:
        size: examples in a batch, of all processes together.
        per_epoch: batches in an epoch.
        position: batches of the current epoch that have been taken.

    Raises:
        InputError: there are fewer examples than processes.
    """

    def __init__(
        self,
        data: Dataset,
        process: Process,
        batch_size: int,
        classes: int,
        label_dropout: float | None,
        group: Group,
        flip: bool = False,
    ) -> None:
        if len(data) < group.size:
            raise InputError(f"{len(data)} examples are too few for {group.size} processes")
        self.digest, self.shape = data.digest(), data.shape
        self.process, self.device, self.group = process, process.device, group
        self.examples, self.labels = (x.to(self.device) for x in (data.examples, data.labels))
        self.classes, self.label_dropout, self.flip = classes, label_dropout or 0.0, flip
        self.size = min(batch_size, len(data) // group.size) * group.size
        self.per_epoch = len(data) // self.size
        self.order = torch.arange(len(data), device=self.device)
        self.position = 0

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.examples)

    def of_epoch(self) -> Iterator[Batch]:
        """One pass over the shuffled data, or the rest of it if some batches have been taken.

        Every batch is full, so that shapes never change: the few examples of an incomplete last one
        are left out of this epoch (others in the next).
        """
        if self.position == 0:
            self.order = torch.randperm(len(self), device=self.device)
        while self.position < self.per_epoch:
            start = self.position * self.size
            batch = self.draw(self.order[start : start + self.size])
            self.position += 1
            yield batch
        self.position = 0

    def draw(self, indices: Tensor, generator: torch.Generator | None = None) -> Batch:
        """This process's part of the batch of these examples.

        Args:
            indices: of the whole batch, int64 (size,).
            generator: None for PyTorch's default one.
        """
        t = self.process.draw_timesteps(self.size, generator)
        eps = torch.randn(self.size, *self.shape, generator=generator, device=self.device)
        each = self.size // self.group.size
        part = slice(self.group.rank * each, (self.group.rank + 1) * each)
        labels = None
        if self.classes:
            whole = self.labels[indices]
            labels = drop_labels(whole, self.classes, self.label_dropout, generator)[part]
        examples = self.examples[indices[part]]
        if self.flip:
            chosen = torch.rand(self.size, generator=generator, device=self.device)[part] < 0.5
            examples = mirror(examples, chosen)
        return Batch(examples, labels, t[part], eps[part])

    def state(self) -> dict[str, Any]:
        """Which examples are taken when, for a checkpoint."""
        # In examples, since another number of processes may have other batches.
        seen = self.position * self.size
        return {"seen": seen, "order": self.order.cpu(), "data": self.digest}

    def restore(self, state: dict[str, Any]) -> None:
        self.position = math.ceil(state["seen"] / self.size)
        self.order = state["order"].to(self.device)
