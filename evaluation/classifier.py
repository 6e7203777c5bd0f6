"""A small classifier of images, in whose features samples are compared with real images.

It is trained once for each dataset and kept in a cache file whose name is a hash of this code and
of the data, so neither can change without a new one. The file can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from datasets import Dataset
from datasets.units import to_unit
from system.console import shows_bars
from system.files import write_through_memory

FEATURES = 128
EPOCHS, MOST_EPOCHS = 7, 30
STEPS = 600  # of the optimizer, at least; for them small data sets are gone through more often
BATCH = 128
PEAK_LR = 4e-3
SHIFT = 2  # pixels that training images are moved by, at most


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


def train_classifier(data: Dataset, device: torch.device | str = "cpu") -> Classifier:
    """The classifier of a training split; the same one every time on the same machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Classifier(data.shape[0], data.classes)
    model = model.to(device).to(memory_format=torch.channels_last).train()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=0.02)
    size = min(BATCH, len(data))
    per_epoch = len(data) // size
    epochs = max(EPOCHS, min(math.ceil(STEPS / per_epoch), MOST_EPOCHS))
    steps = epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    images, labels = data.examples.to(device), data.labels.to(device)
    silent = not shows_bars(sys.stderr)
    with tqdm(total=steps, desc=f"classifier of {Path(data.name).name}", disable=silent) as bar:
        for _ in range(epochs):
            order = torch.randperm(len(data), generator=generator).to(device)
            for batch in order[: per_epoch * size].split(size):
                x = augment(to_unit(images[batch]), data.symmetric, generator)
                F.cross_entropy(model(x), labels[batch]).backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                bar.update()
    return model.eval().requires_grad_(False)


def cache_path(data: Dataset, data_dir: Path) -> Path:
    """Where the classifier of this code and these data is kept."""
    key = hashlib.sha256(Path(__file__).read_bytes())
    key.update(data.digest().encode())
    return data_dir / "classifiers" / f"{Path(data.name).stem}-{key.hexdigest()[:16]}.pt"


def load_classifier(
    data: Dataset, data_dir: Path, device: torch.device | str = "cpu"
) -> Classifier:
    """The classifier of a training split, from the cache or else trained now (some minutes)."""
    path = cache_path(data, data_dir)
    if path.is_file():
        try:
            model = Classifier(data.shape[0], data.classes).eval().requires_grad_(False)
            model.load_state_dict(torch.load(path, weights_only=True))
            return model.to(device).to(memory_format=torch.channels_last)
        except Exception as error:  # a damaged file fails in very many ways
            print(f"{path} is damaged ({type(error).__name__}); training the classifier anew")
    model = train_classifier(data, device)
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    write_through_memory(path, lambda file: torch.save(weights, file))
    return model


@torch.no_grad()
def classify(
    model: Classifier, pixels: Tensor, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and class probabilities (N, classes) of images as data, on the CPU."""
    features, probabilities = [], []
    for batch in pixels.split(512):
        found = model.features(to_unit(batch.to(device)))
        features.append(found.cpu())
        probabilities.append(model.head(found).softmax(1).cpu())
    return torch.cat(features), torch.cat(probabilities)
