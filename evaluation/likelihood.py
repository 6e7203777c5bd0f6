"""The density of points under a model: exact log-densities, by the ODE that sampling follows.

Song et al. 2021          Score-Based Generative Modeling through SDEs, arXiv:2011.13456
Chen et al. 2018          Neural Ordinary Differential Equations, arXiv:1806.07366
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from datasets.units import PointUnits
from diffusion import Diffusion, Model
from guidance import knows_unlabelled
from names import CONSISTENCY
from system.errors import InputError

AT_ONCE = 4096  # points


def check_likelihood(config: Mapping[str, Any]) -> None:
    """Refuse models without a likelihood.

    Raises:
        InputError: the model has none; the message gives the reason.
    """
    if config["objective"] == CONSISTENCY:
        raise InputError(
            "the model was tuned for few steps, and its estimates are no longer those of denoising;"
            " use the model from before tuning"
        )
    if config["kind"] == "points" and not knows_unlabelled(config):
        raise InputError(
            "the model was trained with --label_dropout 0, so it cannot predict without a class"
        )


def velocity(diffusion: Diffusion, model: Model, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """dz/dphi of the probability-flow ODE at z = x_t / sqrt(alpha^2 + sigma^2), and its divergence.

    With tan phi = sigma / alpha, z = cos phi x0 + sin phi eps, so the velocity is
    cos phi eps - sin phi x0 (Song et al. 2021, section 4.3; docs/MATH.md, equation 33).

    Args:
        z: (N, D).

    Returns:
        The velocity (N, D) and its divergence (N,), which needs one gradient for each dimension.
    """
    alpha, sigma = diffusion.schedule.at(t)
    size = math.hypot(alpha, sigma)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        output = diffusion.run_model(model, size * z, torch.tensor([t], device=z.device))
        x0, eps = diffusion.estimates(output, size * z, t)
        v = (alpha * eps - sigma * x0) / size
        divergence = torch.zeros_like(z[:, 0])
        for i in range(z.shape[1]):
            (gradient,) = torch.autograd.grad(v[:, i].sum(), z, retain_graph=True)
            divergence = divergence + gradient[:, i]
    return v.detach(), divergence.detach()


def log_density(diffusion: Diffusion, model: Model, x: Tensor) -> Tensor:
    """log p(x) in nats, by the ODE from the data to noise (Song et al. 2021, section 4.3).

    Along the path d log p / dphi = -div v (Chen et al. 2018, theorem 1), and at its end p is
    normal. Each pair of timesteps is one step of Heun's method. The density is that at the least
    noisy timestep.

    Args:
        model: a function of x and t that returns the prediction, without labels.
        x: (N, D), in the units of the network.

    Returns:
        float64 (N,).
    """
    return torch.cat([log_density_of_part(diffusion, model, part) for part in x.split(AT_ONCE)])


def log_density_of_data(
    diffusion: Diffusion, model: Model, units: PointUnits, points: Tensor
) -> Tensor:
    """The same for points (N, 2) in the data's units, on the CPU: float64 (N,)."""
    found = log_density(diffusion, model, units.to_model(points).to(diffusion.device))
    # A unit of the data is 1 / scale units of the model, and a density is per unit of area.
    return found - points.shape[1] * math.log(units.scale)


def log_density_of_part(diffusion: Diffusion, model: Model, x: Tensor) -> Tensor:
    levels = map(diffusion.schedule.at, range(len(diffusion.schedule)))
    angles = [math.atan2(sigma, alpha) for alpha, sigma in levels]
    dimensions = x.shape[1]
    # The sums are on the CPU, since some devices have no float64.
    z, change = math.cos(angles[0]) * x.cpu().double(), torch.zeros(len(x), dtype=torch.float64)
    for t, s in pairwise(range(len(angles))):
        step = angles[s] - angles[t]
        v, divergence = velocity(diffusion, model, z.to(x), t)
        v_there, divergence_there = velocity(diffusion, model, (z + step * v.cpu()).to(x), s)
        z = z + step / 2 * (v + v_there).cpu()
        change += step / 2 * (divergence + divergence_there).cpu()
    normal = -z.square().sum(1) / 2 - dimensions / 2 * math.log(2 * math.pi)
    return normal + change + dimensions * math.log(math.cos(angles[0]))
