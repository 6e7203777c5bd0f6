"""The least loss that any network can have, where that is known: for sets of points.

What a network sees, x_t, could have come from several points, so its best answer is a mean, and the
loss of that is not zero (docs/MATH.md, section 3).
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

DRAWS = 10_000  # examples with their noise: the mean of their losses is off by about 1 %
MOST_DISTANCES = 2 * 10**8  # between noisy and clean points, which take some seconds
FEWEST = 2000  # draws, with fewer of which the mean would say little


def exact_network(data: Tensor, labels: Tensor, classes: int, diffusion: Diffusion) -> Network:
    """The best network there is for data that are exactly these points: `exact_denoiser`, which
    answers what networks of this process predict.

    Args:
        data: as the network sees them, (N, D).
        labels: theirs, int64 (N,).
        classes: how many a network would know, which is also the label for none; 0 for a network
            without labels.
    """
    schedule = diffusion.schedule

    def network(x: Tensor, t: Tensor, wanted: Tensor | None = None) -> Tensor:
        wanted = torch.full_like(t, classes) if wanted is None else wanted
        answers = torch.empty_like(x)
        for time, label in torch.stack([t, wanted], dim=1).unique(dim=0).tolist():
            rows = (t == time) & (wanted == label)
            denoise = exact_denoiser(data if label == classes else data[labels == label], schedule)
            x_t = math.hypot(*schedule.at(time)) * x[rows]  # which networks see divided by that
            x0, eps = denoise(x_t, time)
            answers[rows] = diffusion.target(x0, t[rows], eps)
        return answers

    return network


def draw_batch(batches: Batches, count: int, generator: torch.Generator) -> Batch:
    """So many examples with all that is random about them, drawn as a run draws its batches."""
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
    """The mean loss of the exact denoiser of a run's points, in the run's own prediction, weighting
    and distribution of timesteps: the least that any network can reach.

    None where it is not known: for other objectives than `denoising`, for a schedule that moves,
    for images (of which the exact denoiser could only repeat those that it has seen), and for so
    many points that it would take long. It leaves the run's random numbers alone.
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
