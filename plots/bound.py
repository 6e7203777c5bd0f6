"""The variational bound as a picture: how many bits each noise level costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from plots.figures import DPI, save_figure


def save_bound(
    levels: Sequence[float],
    steps: Sequence[float],
    totals: Sequence[float],
    path: Path,
    title: str,
) -> None:
    """Draw what the denoising steps cost, and the whole bound if sampling ends at each level.

    Args:
        levels: sigma / alpha at the ends of the parts, ascending (P + 1,).
        steps: bits per dimension of the steps from the end of each part to its beginning (P,).
        totals: bits per dimension in all, if sampling ends at the beginning of each part (P,).
    """
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    left.stairs(steps, levels, fill=True)
    left.set_title("cost of denoising from each noise level to the next", fontsize=10)
    right.plot(levels[:-1], totals, marker="o", markersize=3)
    least = min(range(len(totals)), key=totals.__getitem__)
    right.plot(levels[least], totals[least], "o", color="C3")
    right.annotate(
        f"lowest: {totals[least]:.2f}",
        (levels[least], totals[least]),
        xytext=(0, 14),
        textcoords="offset points",
        ha="center",
        color="C3",
        fontsize=9,
    )
    right.set_title("the bound, if sampling ends at this noise level", fontsize=10)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="noise level σ / α")
        axes.set_ylabel("bits per dimension")
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    save_figure(figure, path)
