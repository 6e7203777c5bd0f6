"""Images drawn by code, block by block: always the same, in splits as large as those of MNIST."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TRAIN_COUNT, TEST_COUNT = 60_000, 10_000
BLOCK = 1000  # images made at a time; each block has its own seed


def first_drawn(
    make_block: Callable[[int], tuple[Tensor, Tensor]], train: bool, count: int | None
) -> tuple[Tensor, Tensor]:
    """The first `count` images (None: all) of the training or the test split, and their labels.

    Args:
        make_block: makes images (BLOCK, ...) and labels (BLOCK,) from a seed.
    """
    total = TRAIN_COUNT if train else TEST_COUNT
    count = total if count is None else min(count, total)
    first_seed = 0 if train else TRAIN_COUNT // BLOCK
    blocks = [make_block(first_seed + i) for i in range(-(-count // BLOCK))]
    images, labels = (torch.cat(part)[:count] for part in zip(*blocks, strict=True))
    return images, labels
