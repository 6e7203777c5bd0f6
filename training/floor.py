"""The least loss that any network can reach; known only for sets of points.

A noisy point x_t could have come from several points, so the best prediction is their mean, and
its loss is not zero (docs/MATH.md, section 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffusion import Diffusion
from guidance import Conditioned, Network
from samplers import exact_denoiser
from training.batches import Batch, Batches
from training.objectives.denoising import denoising
from training.run import Run

DRAWS = 4000  # examples with their noise: the mean of their losses is off by about 1.6 %
MOST_DISTANCES = 2 * 10**8  # between noisy and clean points; computing them takes some seconds
FEWEST = 2000  # draws; the mean of fewer would say little


def exact_network(data: Tensor, labels: Tensor, classes: int, diffusion: Diffusion) -> Network:
    """The best network for data that are exactly these points: `exact_denoiser`, converted to the
    prediction of this process.

    Args:
        data: in the units of the network, (N, D).
        labels: of the data, int64 (N,).
        classes: the number of classes, which is also the label for no class; 0 for a network
            without labels.
    """
    schedule = diffusion.schedule

    def network(x: Tensor, t: Tensor, wanted: Tensor | None = None) -> Tensor:
        wanted = torch.full_like(t, classes) if wanted is None else wanted
        answers = torch.empty_like(x)
        for time, label in torch.stack([t, wanted], dim=1).unique(dim=0).tolist():
            rows = (t == time) & (wanted == label)
            denoise = exact_denoiser(data if label == classes else data[labels == label], schedule)
            x_t = math.hypot(*schedule.at(time)) * x[rows]  # networks see x_t divided by this
            x0, eps = denoise(x_t, time)
            answers[rows] = diffusion.target(x0, t[rows], eps)
        return answers

    return network


def draw_batch(batches: Batches, count: int, generator: torch.Generator) -> Batch:
    """`count` examples with their labels, timesteps and noise, drawn as a run draws its batches."""
    found = []
    for _ in range(math.ceil(count / batches.size * batches.group.size)):
        shape, device = (batches.size,), batches.device
        indices = torch.randint(len(batches), shape, generator=generator, device=device)
        found.append(batches.draw(indices, generator))
    examples, labels, t, eps = zip(*found, strict=True)
    known = None if labels[0] is None else torch.cat(labels)[:count]
    return Batch(torch.cat(examples)[:count], known, torch.cat(t)[:count], torch.cat(eps)[:count])


@torch.no_grad()
def least_loss(run: Run) -> float | None:
    """The mean loss of the exact denoiser of a run's points: the least that any network can reach.

    Prediction, weighting and distribution of timesteps are those of the run.

    It is None for objectives other than `denoising`, for a learned schedule, for images (the exact
    denoiser could only repeat the training images), and for so many points that it would take long.
    The run's random numbers are not affected.
    """
    batches, settings = run.batches, run.settings
    count = min(DRAWS, MOST_DISTANCES // len(batches))
    known = settings.objective == "denoising" and run.config["kind"] == "points"
    if not known or run.learned is not None or count < FEWEST:
        return None
    data = run.units.to_model(batches.examples)
    exact = exact_network(data, batches.labels, batches.classes, run.diffusion)
    batch = draw_batch(batches, count, torch.Generator(run.device).manual_seed(0))
    model, x0 = Conditioned(exact, batch.labels), run.units.to_model(batch.examples)
    losses = denoising(run.diffusion, model, x0, batch.t, batch.eps)
    return losses.mean().item()
