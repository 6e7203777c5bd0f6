"""A small classifier of images; its features are used to compare samples with real images.

It is trained once for each dataset and kept in a cache file. The file's name contains a hash of the
data and of the code for training, so that a change of either leads to a new classifier. The file
can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from datasets import Dataset
from datasets.units import to_unit
from system.console import shows_bars
from system.files import check_writable, write_through_memory
from system.words import duration

FEATURES = 128
EPOCHS, MOST_EPOCHS = 7, 30
STEPS = 600  # for small datasets, which get up to MOST_EPOCHS to reach as many
BATCH = 128
PEAK_LR = 4e-3
SHIFT = 2  # the most pixels by which training images are moved
SAY_EVERY = 10  # seconds between reports of progress if there is no bar
PARTS = ("model", "optimizer", "schedule")  # of the training state


class Classifier(nn.Module):
    """2x2 pixels folded into channels, two convolutions at half the resolution and two at a
    quarter, a mean over positions, one layer to the classes.

    Odd sides are padded by repeating the border.

    Shapes: x (B, channels, H, W) in [-1, 1] -> logits (B, classes); `features` gives
    (B, 128).
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = ((4 * channels, 32, 1), (32, 64, 1), (64, 128, 2), (128, FEATURES, 1))
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for inputs, outputs, stride in widths:
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return self.body(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def augment(x: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `SHIFT` pixels; or half of the images mirrored, with `flip`.

    Shapes: x (B, C, H, W) in [-1, 1] -> the same.
    """
    height, width = x.shape[2:]
    if flip:
        mirrored = torch.rand(len(x), 1, 1, 1, generator=generator).to(x.device) < 0.5
        return torch.where(mirrored, x.flip(3), x)
    x = F.pad(x, (SHIFT,) * 4, mode="replicate")
    down, right = torch.randint(2 * SHIFT + 1, (2, len(x), 1), generator=generator).to(x.device)
    rows = (down + torch.arange(height, device=x.device))[:, :, None]
    columns = (right + torch.arange(width, device=x.device))[:, None, :]
    every = torch.arange(len(x), device=x.device)[:, None, None]
    return x.movedim(1, -1)[every, rows, columns].movedim(-1, 1)


class Training:
    """A classifier in training; the same one every time on the same machine.

    Attributes:
        epoch: how many of the `epochs` are done.
    """

    def __init__(self, data: Dataset, device: torch.device | str) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Classifier(data.shape[0], data.classes)
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.generator = torch.Generator().manual_seed(0)
        self.size = min(BATCH, len(data))
        self.per_epoch = len(data) // self.size
        self.epochs = max(EPOCHS, min(math.ceil(STEPS / self.per_epoch), MOST_EPOCHS))
        self.epoch, steps = 0, self.epochs * self.per_epoch
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=PEAK_LR, weight_decay=0.02)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, PEAK_LR, total_steps=steps
        )
        self.images, self.labels = data.examples.to(device), data.labels.to(device)
        self.symmetric = data.symmetric

    def steps(self) -> Iterator[None]:
        """One epoch; yields after each step of the optimizer."""
        order = torch.randperm(len(self.images), generator=self.generator)
        order = order[: self.per_epoch * self.size].to(self.images.device)
        for batch in order.split(self.size):
            x = augment(to_unit(self.images[batch]), self.symmetric, self.generator)
            F.cross_entropy(self.model(x), self.labels[batch]).backward()
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            yield
        self.epoch += 1

    def save(self, path: Path) -> None:
        """Save what is needed to resume after this epoch."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        state = {**parts, "generator": self.generator.get_state(), "epoch": self.epoch}
        write_through_memory(path, lambda file: torch.save(state, file))

    def restore(self, path: Path) -> None:
        """Resume from a file written by `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.epoch = state["epoch"]


LEARNED_BY = (Classifier, augment, Training.__init__, Training.steps)  # decides what is learned


def train_classifier(
    data: Dataset,
    device: torch.device | str = "cpu",
    unfinished: Path | None = None,
    name: str = "classifier",
) -> Classifier:
    """The classifier for a training split. Reports progress, at a terminal with a bar.

    Args:
        unfinished: the file for its state after each epoch, from which training is resumed.
        name: of the classifier, for the reports.
    """
    training = Training(data, device)
    if unfinished is not None and unfinished.is_file():
        try:
            training.restore(unfinished)
        except Exception:  # loading a damaged file can fail in many ways
            training = Training(data, device)
    start = told = time.perf_counter()
    before, bars = training.epoch, shows_bars(sys.stderr)
    steps = training.epochs * training.per_epoch
    done = before * training.per_epoch
    with tqdm(total=steps, initial=done, desc=name, disable=not bars) as bar:
        while training.epoch < training.epochs:
            for _ in training.steps():
                bar.update()
            if unfinished is not None:
                training.save(unfinished)
            left, now = training.epochs - training.epoch, time.perf_counter()
            if left and not bars and now - told >= SAY_EVERY:
                to_go = duration((now - start) / (training.epoch - before) * left)
                words = f"epoch {training.epoch} of {training.epochs}, {to_go} to go"
                print(f"{name}: {words}", flush=True)
                told = now
    return training.model.eval().requires_grad_(False)


def cache_path(data: Dataset, data_dir: Path) -> Path:
    """The file in which the classifier for this code and these data is kept."""
    code = [inspect.getsource(part) for part in LEARNED_BY]
    numbers = (FEATURES, EPOCHS, MOST_EPOCHS, STEPS, BATCH, PEAK_LR, SHIFT)
    key = hashlib.sha256(repr((code, numbers, data.digest())).encode())
    return data_dir / "classifiers" / f"{Path(data.name).stem}-{key.hexdigest()[:16]}.pt"


def load_classifier(
    data: Dataset,
    data_dir: Path,
    device: torch.device | str = "cpu",
    purpose: str = "images are compared in its features",
) -> Classifier:
    """The classifier for a training split, from the cache or else trained now (some minutes).

    Args:
        purpose: what it is for, in the message before training.

    Raises:
        InputError: it is not in the cache, and the cache is not writable.
    """
    path = cache_path(data, data_dir)
    if path.is_file():
        try:
            model = Classifier(data.shape[0], data.classes).eval().requires_grad_(False)
            model.load_state_dict(torch.load(path, weights_only=True))
            return model.to(device).to(memory_format=torch.channels_last)
        except Exception as error:  # loading a damaged file can fail in many ways
            print(f"{path} is damaged ({type(error).__name__}); training the classifier again")
    check_writable(path.parent)
    what = f"classifier of {Path(data.name).stem}"
    print(
        f"training a {what} on {len(data):,} images first (only once): {purpose}. It is saved in"
        f" {path.parent} after each epoch",
        flush=True,
    )
    unfinished = path.with_suffix(".unfinished")
    model = train_classifier(data, device, unfinished, what)
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    write_through_memory(path, lambda file: torch.save(weights, file))
    unfinished.unlink(missing_ok=True)
    return model


@torch.no_grad()
def classify(
    model: Classifier, pixels: Tensor, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and class probabilities (N, classes) of images, uint8, on the CPU."""
    features, probabilities = [], []
    for batch in pixels.split(512):
        found = model.features(to_unit(batch.to(device)))
        features.append(found.cpu())
        probabilities.append(model.head(found).softmax(1).cpu())
    return torch.cat(features), torch.cat(probabilities)
