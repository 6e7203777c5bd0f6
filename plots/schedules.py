"""The noise schedules side by side: their curves, and what each does to the same example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffusion import NoiseSchedule, half_log_snr_of_cosine, learned_times, parts_of_cosine
from plots.figures import DPI, evenly_spaced, save_figure

MOVES = 8  # epochs shown of a learned schedule
SHOWN = 9  # timesteps shown of each schedule, including the first and the last
LOWEST, HIGHEST = -8.0, 8.0  # limits of the axis of log(alpha / sigma)
FINE = 500  # places on a curve


def shown_timesteps(schedule: NoiseSchedule) -> list[int]:
    return torch.linspace(0, len(schedule) - 1, SHOWN).round().int().tolist()


def draw_curves(left: Axes, right: Axes, schedules: Mapping[str, NoiseSchedule]) -> None:
    """Draw the share of noise in the variance of x_t, and log(alpha / sigma), over t / T."""
    for name, schedule in schedules.items():
        u = np.arange(1, len(schedule) + 1) / len(schedule)
        alpha2, sigma2 = schedule.alphas**2, schedule.sigmas**2
        left.plot(u, sigma2 / (alpha2 + sigma2), label=name)
        right.plot(u, schedule.half_log_snr.clamp(LOWEST - 1, HIGHEST + 1), label=name)
    left.set(title="share of noise, σ² / (α² + σ²)", xlabel="t / T", ylim=(-0.02, 1.02))
    right.set(title="λ = log(α / σ)", xlabel="t / T", ylim=(LOWEST, HIGHEST))
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)


def save_schedules(
    schedules: Mapping[str, NoiseSchedule],
    noisy: Sequence[Sequence[Tensor]],
    path: Path,
    title: str,
    draw: Callable[[Axes, Tensor], None],
) -> None:
    """Draw curves and, below them, a row for each schedule: what is left of an example.

    Args:
        noisy: for each schedule, at its `shown_timesteps`: a batch of one image, or points.
        draw: draws such data on axes, see `Pictures.draw_small`.
    """
    rows = len(schedules)
    figure = Figure(figsize=(10, 3.6 + 1.05 * rows), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11)
    parts: Any = figure.subfigures(2, 1, height_ratios=(3.2, 1.05 * rows))
    above, below = parts
    left, right = above.subplots(1, 2)
    draw_curves(left, right, schedules)
    grid = below.subplots(rows, SHOWN, squeeze=False)
    for row, (name, schedule), examples in zip(grid, schedules.items(), noisy, strict=True):
        for axes, t, example in zip(row, shown_timesteps(schedule), examples, strict=True):
            draw(axes, example)
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"t = {t}" if name == next(iter(schedules)) else "", fontsize=8)
        row[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    save_figure(figure, path)


def save_moves(densities: Tensor, path: Path) -> None:
    """Draw how a learned schedule moved: the levels of its timesteps, and how many each level has.

    Args:
        densities: after each epoch, (epochs, parts), see `diffusion.learned_schedule`.
    """
    figure = Figure(figsize=(9, 3.8), dpi=DPI, layout="constrained")
    figure.suptitle("How the learned schedule moved", fontsize=11)
    left, right = figure.subplots(1, 2)
    u = np.linspace(0, 1, FINE)
    at = half_log_snr_of_cosine(u)
    left.plot(u, at, "--", color="0.5", label="cosine, the start")
    right.axhline(1, linestyle="--", color="0.5")
    ends = half_log_snr_of_cosine(parts_of_cosine(densities.shape[1]))
    chosen = evenly_spaced(MOVES, len(densities))
    for i, epoch in enumerate(chosen):
        density, colour = densities[epoch], colormaps["viridis"]((i + 1) / (len(chosen) + 1))
        half_log_snr = half_log_snr_of_cosine(learned_times(FINE, density.tolist()))
        left.plot(u, half_log_snr, color=colour, label=f"after epoch {epoch + 1}")
        right.stairs(density, ends, color=colour)
    left.set(title="λ = log(α / σ) of the timesteps", xlabel="t / T", ylim=(LOWEST, HIGHEST))
    right.set(title="timesteps at each noise level, as multiples of cosine's", xlim=(6, -6))
    right.set(xlabel="λ = log(α / σ): data to the left, noise to the right", yscale="log")
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
    right.yaxis.set_major_formatter("{x:g}")
    left.legend(fontsize=8, loc="lower left")
    save_figure(figure, path)
