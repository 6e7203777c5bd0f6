"""The loss curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from plots.figures import DPI, label_log_axis, save_figure


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    teens = 10 < number % 100 < 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def save_loss_curve(
    losses: Sequence[float], epoch_ends: Sequence[int], path: Path, floor: float | None = None
) -> None:
    """Draw the loss of each step, its running mean, and the ends of epochs.

    Args:
        losses: one for each step, from step 1.
        epoch_ends: the steps after which an epoch ended.
        floor: the least loss that is possible, if it is known.
    """
    figure = Figure(figsize=(7, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    every = max(1, math.ceil(len(epoch_ends) / 50))
    epochs = "end of an epoch" if every == 1 else f"end of every {ordinal(every)} epoch"
    for i, end in enumerate(epoch_ends[every - 1 :: every]):
        axes.axvline(end, color="0.85", linewidth=0.8, label=None if i else epochs)
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.7, label="each step")
    reach = min(max(1, len(losses) // 100), (len(losses) - 1) // 2)
    label = f"mean over {2 * reach + 1} steps"
    axes.plot(steps[reach : len(steps) - reach], smooth(losses, reach), "tab:blue", label=label)
    if floor is not None:
        least = f"lowest possible loss: {floor:.2g}"
        axes.axhline(floor, color="tab:red", linestyle="--", linewidth=1, label=least)
    axes.set(title="Training loss", xlabel="step", ylabel="loss")
    axes.set_xlim(1, max(2, len(losses)))
    if max(losses) > 10 * min(losses):  # a smaller range has too few round numbers for this scale
        axes.set_yscale("log")
        label_log_axis(axes.yaxis)
    axes.legend(loc="upper right", fontsize=8)
    save_figure(figure, path)


def smooth(values: Sequence[float], reach: int) -> np.ndarray:
    """Means of each value with `reach` values on either side.

    The ends are left out: a mean over the fewer values there would be noisier.
    """
    sums = np.cumsum([0.0, *values])
    width = 2 * reach + 1
    return (sums[width:] - sums[:-width]) / width
