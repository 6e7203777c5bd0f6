"""Inpainting: images that equal a given one outside a hole and are sampled inside it."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from samplers import repaint
from sampling.batches import run_to_end
from sampling.denoising import make_denoiser
from sampling.given import read_image
from sampling.settings import SampleSettings
from sampling.trained import Trained
from system.errors import InputError
from utils import SeededNoise

WHITE = 128  # the lowest grey value that counts as white in a mask
MASKS = {  # name: (top, bottom) as shares of the height, (left, right) as shares of the width
    "upper_half": ((0, 1 / 2), (0, 1)),
    "lower_half": ((1 / 2, 1), (0, 1)),
    "left_half": ((0, 1), (0, 1 / 2)),
    "right_half": ((0, 1), (1 / 2, 1)),
    "centre": ((1 / 4, 3 / 4), (1 / 4, 3 / 4)),
}


def find_hole(source: str, shape: Sequence[int]) -> Tensor:
    """A part of the image by its name in `MASKS`, or the white pixels of a mask: bool (H, W).

    Args:
        shape: [C, H, W] of the model's images.

    Raises:
        InputError: see `read_image`; or the mask has no white pixels.
    """
    _, height, width = shape
    if source in MASKS:
        (top, bottom), (left, right) = MASKS[source]
        hole = torch.zeros(height, width, dtype=torch.bool)
        rows = slice(int(top * height), int(bottom * height))
        hole[rows, int(left * width) : int(right * width)] = True
        return hole
    if not os.path.isfile(source):
        raise InputError(f"--mask: {source} is neither a picture nor one of {', '.join(MASKS)}")
    hole = read_image(Path(source), (1, height, width)) >= WHITE
    if not bool(hole.any()):
        raise InputError(f"{source} has no white pixels, which mark the hole to fill in")
    return hole


def inpaint(
    trained: Trained,
    settings: SampleSettings,
    image: Tensor,
    hole: Tensor,
    labels: Tensor | None = None,
    visits: int = 10,
) -> Tensor:
    """`settings.count` images that equal `image` outside the hole, by RePaint.

    Args:
        settings: their sampler is not used.
        image: one image in the units of the model's data, uint8 (H, W) or (H, W, C).
        hole: bool (H, W), true where pixels are to be filled in.
        labels: of the samples, int64 (count,); None for samples of no class.
        visits: see `samplers.repaint`.

    Returns:
        (count, *image.shape), uint8.
    """
    device, schedule = trained.device, trained.diffusion.schedule
    labels = None if labels is None else labels.to(device)
    timesteps = settings.timesteps(schedule)
    noise = SeededNoise(settings.seed, 0, settings.count, device)
    states = repaint(
        make_denoiser(trained, settings, labels),
        trained.diffusion.starting_noise(noise.draw(*trained.units.shape)),
        schedule,
        timesteps,
        trained.units.to_model(image[None].to(device))[0],
        hole.to(device),
        visits,
        noise.randn_like,
    )
    return run_to_end(states, len(timesteps), trained.units)


def cut_out(image: Tensor, hole: Tensor) -> Tensor:
    """An image (H, W) or (H, W, C) whose hole, bool (H, W), is grey."""
    cut = image.clone()
    cut[hole] = WHITE
    return cut
