"""Device, noise, EMA, checkpoints and the run folder: what is neither mathematics nor data."""

from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errors import InputError

# ---------------------------------------------------------------------------- device and noise


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes the first of cuda, mps, cpu that is there.

    Raises:
        InputError: the device is not there; the message names those that are.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    available = [device for device, is_there in there.items() if is_there]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise InputError(f"no {name} device here; --device can be {' or '.join(available)}")
    return torch.device(name)


class SeededNoise:
    """Normal noise for samples start ... start + count - 1 of the endless row a seed stands for.

    Noise is drawn in blocks of 64 samples, each block from a generator of its own. So sample 70
    of seed 0 is the same image whether it was made in a batch of 32 or 500, or in another
    process.
    """

    BLOCK = 64

    def __init__(self, seed: int, start: int, count: int, device: torch.device | str) -> None:
        first, last = start // self.BLOCK, (start + count - 1) // self.BLOCK
        self.offset, self.count = start - first * self.BLOCK, count
        self.device = device
        self.generators = [
            torch.Generator(device).manual_seed(
                int(np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)[0])
            )
            for block in range(first, last + 1)
        ]

    def draw(self, *shape: int) -> Tensor:
        """The next noise for these samples: float32 (count, *shape)."""
        blocks = [
            torch.randn(self.BLOCK, *shape, generator=generator, device=self.device)
            for generator in self.generators
        ]
        return torch.cat(blocks)[self.offset : self.offset + self.count]

    def randn_like(self, x: Tensor) -> Tensor:
        return self.draw(*x.shape[1:])


# ------------------------------------------------------------------------------------------ EMA


class EMA:
    """An exponential moving average of a network's weights: smoother, so it samples better.

    A fixed decay remembers the random start of a short run and is too short for a long one. So the
    decay of update n is (1 - 1/n)^(POWER + 1), which weighs the weights after update k by
    (k / n)^POWER (Karras et al. 2024, arXiv:2312.02696, equation 1 and 2): the average spans the
    same share of any run, about its last eighth. `decay` is an upper limit.

    Attributes:
        model: a copy of the network that carries the averaged weights; use it to sample.
    """

    POWER = 6.94  # a relative width (standard deviation) of 0.1, in the middle of theirs

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.averages: list[Tensor] = list(self.model.parameters())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 - 1 / self.updates) ** (self.POWER + 1))
        # One fused call for all tensors instead of one for each.
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(self.averages, weights, 1 - decay)


# ---------------------------------------------------------------------------------------- files


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file so that it is at every moment either the old one or the new one, whole.

    Yields a temporary path in the same folder. When the block ends well, that file is flushed to
    disk and renamed to `path`; when it fails, it is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_writable(folder: Path) -> None:
    """Make sure, before hours of work, that files can be written into `folder`.

    Raises:
        InputError: the folder cannot be made or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}") from None


# What a training run writes into its folder.
RUN_FILES = (
    "config.json",
    "history.csv",
    "training_loss.png",
    "model_final.pt",
    "samples",
    "checkpoints",
)


def set_earlier_run_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier_001` (or the next free number).

    Returns:
        The folder they are now in, or None if there was no earlier run.
    """
    found = [folder / name for name in RUN_FILES if (folder / name).exists()]
    if not found:
        return None
    number = 1
    while (aside := folder / f"earlier_{number:03d}").exists():
        number += 1
    aside.mkdir()
    for path in found:
        path.rename(aside / path.name)
    return aside


# ---------------------------------------------------------------------------------- checkpoints

CHECKPOINT_FORMAT = 1


def save_checkpoint(path: Path, config: dict[str, Any], model: nn.Module, ema: EMA) -> None:
    """Write what sampling needs: the configuration, the weights and their moving average."""
    checkpoint = {
        "format": CHECKPOINT_FORMAT,
        "config": config,
        "model": model.state_dict(),
        "ema": ema.model.state_dict(),
    }
    # Through memory, because PyTorch's own writer turns a full disk into an obscure RuntimeError.
    content = io.BytesIO()
    torch.save(checkpoint, content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; no code in the file is ever run (`weights_only`).

    Raises:
        InputError: no such file, or not a complete checkpoint of this project.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a checkpoint file")
    if not path.exists():
        raise InputError(f"no checkpoint at {path}; 'python train.py' makes one")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; it holds no checkpoint")
    with path.open("rb") as file:
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # bytes that are no checkpoint fail in very many ways
            raise InputError(
                f"{path} cannot be read: it is truncated, or not a checkpoint"
                f" ({type(error).__name__})"
            ) from error
    if not isinstance(checkpoint, dict) or not {"format", "config", "model"} <= checkpoint.keys():
        raise InputError(f"{path} is a PyTorch file, but not a checkpoint of this project")
    if checkpoint["format"] != CHECKPOINT_FORMAT:
        raise InputError(
            f"{path} has checkpoint format {checkpoint['format']}; this version reads"
            f" {CHECKPOINT_FORMAT}"
        )
    return checkpoint


def find_checkpoint(path: Path) -> Path:
    """`path`, or where it is missing the newest checkpoint of an unfinished run beside it."""
    if path.exists():
        return path
    others = sorted(
        (path.parent / "checkpoints").glob("*.pt"), key=lambda file: file.stat().st_mtime
    )
    if not others:
        return path
    print(f"{path} is not there (yet); using the newest checkpoint, {others[-1]}")
    return others[-1]
