"""Variations of an image: noise is added up to some timestep, and removed again by sampling.

Meng et al. 2022          SDEdit: Guided Image Synthesis and Editing ..., arXiv:2108.01073
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion import NoiseSchedule
from names import SAMPLERS
from samplers import trailing_timesteps
from sampling.batches import as_data, run_to_end
from sampling.denoising import run_sampler
from sampling.settings import SampleSettings
from sampling.trained import Trained
from system.errors import InputError
from utils import SeededNoise


def timesteps_from(
    schedule: NoiseSchedule, strength: float, sampler: str, steps: int | None
) -> list[int]:
    """The decreasing timesteps to visit: evenly spaced over the first `strength` share of all.

    Args:
        sampler: its default number of steps applies if `steps` is None, or fewer if there are fewer
            timesteps.

    Raises:
        InputError: there are fewer timesteps than `steps`.
    """
    total = max(1, round(strength * len(schedule)))
    try:
        return trailing_timesteps(total, steps or min(SAMPLERS[sampler].steps or total, total))
    except ValueError:
        raise InputError(
            f"--steps: with --strength {strength:g} there are {total} timesteps, not {steps}"
        ) from None


def vary(
    trained: Trained, settings: SampleSettings, image: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`settings.count` variations of `image`, which keep what the added noise did not destroy.

    Args:
        settings: their steps are those of `timesteps_from`; the first sets the amount of noise.
        image: one image in the units of the model's data, uint8 (H, W) or (H, W, C).
        labels: of the samples, int64 (count,); None for samples of no class.

    Returns:
        The noisy images and the samples made from them, both (count, *image.shape), uint8.
    """
    device, units, count = trained.device, trained.units, settings.count
    labels = None if labels is None else labels.to(device)
    timesteps = settings.timesteps(trained.diffusion.schedule)
    noise = SeededNoise(settings.seed, 0, count, device)
    x0 = units.to_model(image[None].to(device)).expand(count, *units.shape)
    t = torch.full((count,), timesteps[0], device=device)
    x = trained.diffusion.add_noise(x0, t, noise.draw(*units.shape))
    noisy = as_data(x, units)
    states = run_sampler(trained, settings, x, noise, labels)
    return noisy, run_to_end(states, len(timesteps), units)
