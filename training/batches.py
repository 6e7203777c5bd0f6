"""Batches of a dataset that stays on the device, in an order that a checkpoint can store."""

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
    """A batch for an objective: its data, and all random numbers for it."""

    examples: Tensor  # (B, ...), in the units of the data
    labels: Tensor | None  # int64 (B,); None for a network without classes
    t: Tensor  # timesteps, int64 (B,), or pairs of them (B, 2)
    eps: Tensor  # noise, float32 (B, *shape)


class Process(Protocol):
    """The source of timesteps: a `Diffusion`, or one that an objective has instead."""

    @property
    def device(self) -> torch.device: ...

    def draw_timesteps(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Timesteps to train on, int64 (count,), or pairs of them (count, 2)."""


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images (B, H, W) or (B, H, W, C), mirrored left to right where `chosen`, bool (B,)."""
    return torch.where(chosen.view(-1, *[1] * (images.dim() - 1)), images.flip(2), images)


class Batches:
    """Shuffled batches with their timesteps and noise.

    All processes draw the same random numbers for the whole batch, and each takes an equal part. So
    the result depends on the size of the whole batch, but not on the number of processes.

    Args:
        process: draws the timesteps; the batches are on its device.
        batch_size: the largest batch of one process; with few examples batches are smaller.
        classes: the number of classes, which is also the label for "no class"; 0 for batches
            without labels.
        label_dropout: the share of the examples whose label is dropped.
        flip: whether a random half of the images are mirrored.

    Attributes:
        size: examples in a batch, over all processes.
        per_epoch: batches in an epoch.
        position: batches already taken in the current epoch.

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

        Every batch is full, so that shapes never change: the examples of an incomplete last batch
        are left out of this epoch (the next epoch leaves out others).
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
        """This process's part of the batch with these examples.

        Args:
            indices: of all examples in the whole batch, int64 (size,).
            generator: the random number generator; None for PyTorch's default.
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
        """The order of the examples and the position in it, for a checkpoint."""
        # Counted in examples, since the size of a batch can depend on the number of processes.
        seen = self.position * self.size
        return {"seen": seen, "order": self.order.cpu(), "data": self.digest}

    def restore(self, state: dict[str, Any]) -> None:
        self.position = math.ceil(state["seen"] / self.size)
        self.order = state["order"].to(self.device)
