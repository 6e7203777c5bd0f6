"""Do samples repeat training images? Those that come closest to one, beside it.

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
COMPARED = 2000  # samples: each is compared with every training image, pixel by pixel


def closeness(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """How close each image is to its nearest training image, beside that one's own neighbour.

    Simple images are close to many others, so a distance alone says little. This is its share of
    the distance from the training image to the nearest other one: below 1 an image is no authentic
    one, in the words of Alaa et al. 2022 (section 4.3), and a copy has 0.

    Args:
        images, train: their pixels, float (N, D) and (M, D).

    Returns:
        Which training image it is, int64 (N,), and the share, (N,).
    """
    closest, distance = nearest_of(images, train)
    several, where = closest.unique(return_inverse=True)
    _, of_neighbour = nearest_of(train[several], train, several)
    # Of training images that are there twice nothing can be said.
    return closest, distance / of_neighbour[where].clamp(min=1)


def draw_copies(samples: Tensor, train: Tensor, unseen: Tensor, path: Path) -> Figures:
    """Draw the samples, of `COMPARED` of them, that come closest to a training image, above it.

    Args:
        samples: uint8, as the dataset's own images: (N, H, W) or (N, H, W, 3).
        train: what the model has learned from.
        unseen: real images in the place of the samples; as many as these are compared.

    Returns:
        The share of the samples that are closer to a training image than its own neighbour, and
        that of the unseen images.
    """
    samples = samples[evenly_spaced(COMPARED, len(samples))]  # which can be in order of classes
    pixels = train.flatten(1).float()
    closest, share = closeness(samples.flatten(1).float(), pixels)
    _, of_unseen = closeness(unseen[: len(samples)].flatten(1).float(), pixels)
    order = share.argsort()[:SHOWN]
    pairs = torch.stack([samples[order], train[closest[order]]], dim=1)
    plots.images.save_panels(
        pairs,
        [f"{value:.2f}" for value in share[order].tolist()],
        path,
        "Samples above their closest training image (distance, in units of that to its neighbour)",
        beside=["sample", "training"],
    )
    close, of_real = ((found < 1).double().mean().item() for found in (share, of_unseen))
    error = of_share(close, len(samples))
    return {"closer to a training image than its neighbour": Figure(close, of_real, error)}
