"""Do samples repeat training images? The samples closest to a training image, beside it.

Alaa et al. 2022          How Faithful is your Synthetic Data?, arXiv:2102.08921
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import plots.images
from evaluation import Figure, Figures
from evaluation.errors import of_share
from evaluation.point_metrics import nearest_of
from plots.figures import evenly_spaced

SHOWN = 16
COMPARED = 2000  # the most samples to compare with every training image, pixel by pixel


def closeness(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """The distance of each image to its nearest training image, relative to that image's neighbour.

    Simple images are close to many others, so a distance alone says little. It is divided by the
    distance from the training image to the nearest other training image. Below 1, an image is not
    authentic in the sense of Alaa et al. 2022 (section 4.3); a copy has 0.

    Args:
        images, train: their pixels, float (N, D) and (M, D).

    Returns:
        The index of the nearest training image, int64 (N,), and the relative distance, (N,).
    """
    closest, distance = nearest_of(images, train)
    several, where = closest.unique(return_inverse=True)
    _, of_neighbour = nearest_of(train[several], train, several)
    # The clamp avoids division by zero for training images that occur twice.
    return closest, distance / of_neighbour[where].clamp(min=1)


def draw_copies(samples: Tensor, train: Tensor, unseen: Tensor, path: Path) -> Figures:
    """Draw the samples closest to a training image, each above it. Only `COMPARED` are compared.

    Args:
        samples: uint8, like the dataset's own images: (N, H, W) or (N, H, W, 3).
        train: the images that the model has learned from.
        unseen: real images to compare in place of the samples, in the same number.

    Returns:
        The share of the samples that are closer to a training image than its own neighbour is, and
        the same share for the unseen images.
    """
    samples = samples[evenly_spaced(COMPARED, len(samples))]  # samples can be in order of classes
    pixels = train.flatten(1).float()
    closest, share = closeness(samples.flatten(1).float(), pixels)
    _, of_unseen = closeness(unseen[: len(samples)].flatten(1).float(), pixels)
    order = share.argsort()[:SHOWN]
    pairs = torch.stack([samples[order], train[closest[order]]], dim=1)
    plots.images.save_panels(
        pairs,
        [f"{value:.2f}" for value in share[order].tolist()],
        path,
        "Samples above their nearest training images (distance / that image's to its neighbour)",
        beside=["sample", "training"],
    )
    close, of_real = ((found < 1).double().mean().item() for found in (share, of_unseen))
    error = of_share(close, len(samples))
    return {"closer to a training image than its neighbour": Figure(close, of_real, error)}
