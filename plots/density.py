"""Densities of points as heat maps, beside the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from plots.figures import DPI, save_figure
from plots.points import Limits, new_axes, scatter

SIDE = 100  # places along each side
RANGE = 10.0  # nats below the highest log-density; anything lower has the same colour
PANEL = 3.6  # inches


def places(limits: Limits) -> Tensor:
    """Where densities are computed, float32 (SIDE^2, 2): the centres of cells, lowest row first."""
    left, right, bottom, top = limits
    share = (torch.arange(SIDE) + 0.5) / SIDE
    across, up = left + share * (right - left), bottom + share * (top - bottom)
    return torch.cartesian_prod(up, across).flip(1)


def save_densities(
    points: Tensor,
    maps: Sequence[tuple[str, Tensor]],
    limits: Limits,
    path: Path,
    title: str,
) -> None:
    """Draw the data and, beside them, log-densities in nats, all on one colour scale.

    Args:
        points: (N, 2) in the data's units.
        maps: captions and log-densities at `places`, (SIDE^2,) each.
    """
    count = 1 + len(maps)
    size = (PANEL * count + 0.8, PANEL + 0.5)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    all_axes = figure.subplots(1, count)
    scatter(new_axes(all_axes[0], limits, "data"), points, side=PANEL)
    densest = max(found.max().item() for _, found in maps)
    for axes, (caption, found) in zip(all_axes[1:], maps, strict=True):
        image = new_axes(axes, limits, caption).imshow(
            found.view(SIDE, SIDE).numpy(),
            origin="lower",
            extent=limits,
            cmap="viridis",
            vmin=densest - RANGE,
            vmax=densest,
            interpolation="nearest",
        )
    bar = figure.colorbar(image, ax=list(all_axes), fraction=0.03, pad=0.01)
    bar.set_label("log-density (nats)", fontsize=9)
    bar.ax.tick_params(labelsize=7)
    save_figure(figure, path)
