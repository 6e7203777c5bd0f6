"""Do samples repeat training images? Those that come closest to one, beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import plots.images
from evaluation import Figures
from utils import distances, in_parts

SHOWN = 16


def nearest_images(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the most similar of some others, pixel by pixel.

    Args:
        images, others: uint8, (N, ...) and (M, ...).

    Returns:
        Which it is, int64 (N,), and the root of the mean square of their differences, from 0 to
        255, (N,).
    """
    a, b = (pixels.flatten(1).float() for pixels in (images, others))
    closest = torch.cat([distances(part, b).argmin(1) for part in in_parts(a, len(b))])
    return closest, (a - b[closest]).square().mean(1).sqrt()


def draw_copies(samples: Tensor, train: Tensor, unseen: Tensor, path: Path) -> Figures:
    """Draw the samples that come closest to a training image, above it.

    Args:
        samples: uint8, as the dataset's own images: (N, H, W) or (N, H, W, 3).
        train: what the model has learned from.
        unseen: real images in the place of the samples; as many as these are compared.

    Returns:
        How close the closest come, of the samples and of the unseen images.
    """
    closest, difference = nearest_images(samples, train)
    _, of_unseen = nearest_images(unseen[: len(samples)], train)
    order = difference.argsort()[:SHOWN]
    pairs = torch.stack([samples[order], train[closest[order]]], dim=1)
    plots.images.save_panels(
        pairs,
        [f"{value:.0f}" for value in difference[order].tolist()],
        path,
        "Samples closest to a training image, which stands below\n"
        "(above: root mean square difference of pixels, of 255)",
        beside=["sample", "training"],
    )
    least = (difference.min().item(), of_unseen.min().item())
    return {"least difference of pixels from a training image": least}
