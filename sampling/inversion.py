"""Inversion: the noise from which `ddim` reproduces given data, and samples from that noise.

Song et al. 2021          Denoising Diffusion Implicit Models, arXiv:2010.02502
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import plots.images
import plots.points
from datasets.units import PointUnits
from plots.images import class_texts
from plots.pictures import PointPictures
from samplers import ddim, ddim_inverse, final
from sampling.batches import as_data
from sampling.denoising import make_denoiser
from sampling.settings import SampleSettings
from sampling.trained import Trained
from utils import SeededNoise


class Inversion(NamedTuple):
    """The result of an inversion, with all parts (N, ...) in the units of the data.

    Attributes:
        data: the given data.
        noise: the noise from which the model should reproduce them.
        back: the samples from that noise.
        edits: the samples from that noise under each of several labels.
    """

    data: Tensor
    noise: Tensor
    back: Tensor
    edits: list[Tensor]


def invert(
    trained: Trained, settings: SampleSettings, data: Tensor, labels: Sequence[int] = ()
) -> Inversion:
    """Encode data without a class, and decode them both without a class and under each label.

    Args:
        settings: their steps are used in both directions, and their seed for the noise of the first
            step.
    """
    schedule, units, device = trained.diffusion.schedule, trained.units, trained.device
    timesteps = settings.timesteps(schedule)
    untold = make_denoiser(trained, settings, None)
    x0, noise = units.to_model(data.to(device)), SeededNoise(settings.seed, 0, len(data), device)
    x = final(ddim_inverse(untold, x0, schedule, timesteps, noise.randn_like))

    def decode(label: int | None) -> Tensor:
        told = None if label is None else torch.full((len(x),), label, device=device)
        denoise = make_denoiser(trained, settings, told)
        return as_data(final(ddim(denoise, x, schedule, timesteps)), units)

    edits = [decode(label) for label in labels]
    return Inversion(data, as_data(x, units), decode(None), edits)


def error_of(found: Inversion, trained: Trained) -> str:
    """The error of the reproduced data, in words."""
    away = (found.back.double() - found.data.double()).square()
    if isinstance(trained.units, PointUnits):
        spread = trained.units.scale
        return f"{away.sum(1).mean().sqrt().item() / spread:.2g} of the spread of the data"
    return f"{away.mean().sqrt().item():.1f} of 255"


def draw_inversion(
    found: Inversion, trained: Trained, labels: Sequence[int], path: Path, title: str
) -> None:
    """Draw the data, their noise and the samples from it, side by side."""
    captions = ["given", "as noise", "and back"]
    if isinstance(trained.pictures, PointPictures):
        limits = trained.pictures.limits
        plots.points.save_scatter_panels(found[:3], captions, path, title, limits)
        return
    captions += [f"as {text}" for text in class_texts(labels, trained.config["class_names"])]
    panels = torch.stack([found.data, found.noise, found.back, *found.edits])
    plots.images.save_panels(panels, captions, path, title)
