"""Interpolation between the samples of two seeds."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from plots.figures import evenly_spaced
from samplers import final
from sampling.batches import as_data
from sampling.denoising import run_sampler
from sampling.settings import SampleSettings
from sampling.trained import Trained
from system.console import shows_bars
from utils import SeededNoise

FRAMES = 41  # frames of an interpolation
STRIP = 9  # number of frames in the still picture


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation (Shoemake 1985) from a (share 0) to b (share 1), taken as vectors.

    On a straight line between two draws of normal noise, the noise would be too weak: halfway, its
    standard deviation is 0.7. On the arc it stays 1.
    """
    angle = torch.arccos(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)).item()
    if math.sin(angle) < 1e-4:
        return torch.lerp(a, b, share)  # for the same direction, the arc is a line
    return (math.sin((1 - share) * angle) * a + math.sin(share * angle) * b) / math.sin(angle)


def interpolate(
    trained: Trained, settings: SampleSettings, seeds: tuple[int, int], labels: Tensor | None
) -> list[Tensor]:
    """Samples from noise on the arc between the noise of two seeds: `FRAMES` times (N, ...).

    Args:
        settings: they must have a sampler without fresh noise; their seed is not used.
        labels: of the samples, int64 (N,); None for samples of no class.
    """
    labels = None if labels is None else labels.to(trained.device)
    noise = [SeededNoise(seed, 0, settings.count, trained.device) for seed in seeds]
    first, second = (one.draw(*trained.units.shape) for one in noise)
    diffusion, frames = trained.diffusion, []
    t = settings.timesteps(diffusion.schedule)[0]
    for frame in tqdm(range(FRAMES), unit="frame", disable=not shows_bars(sys.stderr)):
        x = diffusion.starting_noise(slerp(first, second, frame / (FRAMES - 1)), t)
        states = run_sampler(trained, settings, x, noise[0], labels)
        frames.append(as_data(final(states), trained.units))
    return frames


def draw_interpolation(
    trained: Trained, frames: list[Tensor], title: str, path: Path, labels: Tensor | None
) -> Path:
    """Draw a strip of frames, and beside it an animation back and forth; return its path."""
    shares = [i / (FRAMES - 1) for i in range(FRAMES)]
    shown = evenly_spaced(STRIP, FRAMES)
    captions = [f"{shares[i]:.3g}" for i in shown]
    trained.pictures.draw_panels([frames[i] for i in shown], captions, path, title, labels)
    animation = path.with_suffix(".gif")
    there_and_back = [*range(FRAMES), *range(FRAMES - 2, -1, -1)]
    trained.pictures.draw_animation(
        [frames[i] for i in there_and_back],
        [f"{shares[i]:.2f}" for i in there_and_back],
        animation,
        title,
        labels,
        progress=[shares[i] for i in there_and_back],
    )
    return animation
