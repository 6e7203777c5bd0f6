"""Where noise lands: the noise of points, coloured by what samplers make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from torch import Tensor

import samplers
from diffusion import Denoiser, Diffusion
from plots.figures import DPI, save_figure
from plots.pictures import PointPictures
from plots.points import backdrop, new_axes
from samplers import final, timesteps_of

SIDE = 120  # points along a side of the grid of noise
REACH = 2.9  # of the grid to each side, in standard deviations
LANDED, PATHS = 3000, 80


class Walk(NamedTuple):
    """A sampler, its number of steps, and the caption of its row."""

    caption: str
    diffusion: Diffusion
    denoise: Denoiser
    sampler: str
    steps: int

    def states(self, noise: Tensor) -> Iterator[Tensor]:
        """All states from standard normal noise (N, 2) to the samples, as the network sees them."""
        schedule = self.diffusion.schedule
        timesteps = timesteps_of(self.sampler, schedule, self.steps)
        x = self.diffusion.starting_noise(noise, timesteps[0])
        yield x
        yield from getattr(samplers, self.sampler)(self.denoise, x, schedule, timesteps)


def colours(points: Tensor) -> np.ndarray:
    """A colour for each place (N, 2), RGB (N, 3): the hue is the angle around the centre of the
    data, and the colour is paler near the centre."""
    x, y = (points / math.sqrt(2)).unbind(1)
    hue = (torch.atan2(y, x) / (2 * math.pi)) % 1
    # The square root spreads the middle, where most data are.
    saturation = torch.hypot(x, y).clamp(max=1).sqrt()
    value = torch.full_like(hue, 0.85)
    return hsv_to_rgb(torch.stack([hue, saturation, value], dim=1).numpy())


def draw_noise_map(
    walks: Sequence[Walk], x0: Tensor, pictures: PointPictures, path: Path, title: str
) -> None:
    """Draw a row for each walk: the noise, some paths, and their ends, coloured by the ends.

    Args:
        x0: the data, (N, 2), as the network sees them.
    """
    figure = Figure(figsize=(9.6, 3.2 * len(walks) + 0.5), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11)
    ticks = torch.linspace(-REACH, REACH, SIDE)
    grid = torch.cartesian_prod(ticks, ticks)
    noise = torch.randn(LANDED, 2, generator=torch.Generator().manual_seed(0))
    rows, data = figure.subplots(len(walks), 3, squeeze=False), pictures.units.to_data
    for walk, (of_noise, of_paths, of_ends) in zip(walks, rows, strict=True):
        ends = colours(final(walk.states(grid))).reshape(SIDE, SIDE, 3)
        # The first axis of the grid is x, but that of an image is y.
        of_noise.imshow(
            ends.transpose(1, 0, 2), origin="lower", extent=(-REACH, REACH, -REACH, REACH)
        )
        of_noise.set_title("noise, coloured by where it lands", fontsize=9)
        of_noise.set_ylabel(walk.caption, fontsize=10)
        of_noise.tick_params(labelsize=7)
        landing = final(walk.states(noise))
        landed = colours(landing)
        new_axes(of_paths, pictures.limits, f"{PATHS} paths, from ring to dot")
        backdrop(of_paths, data(x0))
        states = torch.stack([data(x) for x in walk.states(noise[:PATHS])])
        draw_paths(of_paths, states, landed[:PATHS])
        new_axes(of_ends, pictures.limits, "where noise lands")
        x, y = data(landing).T
        of_ends.scatter(x, y, s=2, c=landed, linewidths=0)
    save_figure(figure, path)


def draw_paths(axes: Axes, states: Tensor, landed: np.ndarray) -> None:
    """Draw paths (steps + 1, N, 2), each from a ring at its start to a dot at its end."""
    for path, colour in zip(states.unbind(1), landed, strict=True):
        axes.plot(*path.T, color=colour, linewidth=0.7)
    (x, y), (end_x, end_y) = states[0].T, states[-1].T
    axes.scatter(x, y, s=7, facecolors="none", edgecolors=list(map(tuple, landed)), linewidths=0.6)
    axes.scatter(end_x, end_y, s=9, c=landed, linewidths=0)
