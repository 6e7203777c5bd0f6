"""Pictures of 2-D points: scatter panels over time, animations, arrows, fields and paths.

All points come in the data's own units. Every picture of a process has the same axes in all of its
panels or frames, with equal scales, so that the points move and not the view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from plots.animation import GIF_HEADER, animate
from plots.figures import DPI, LINE, save_figure, wrapped

INK = "#1f4e79"
SHORTEST = 100  # scores over so many times shorter than the longest share a colour
MAX_POINTS = 20_000  # points in one panel; more would only hide each other
DENSEST = 900  # points in a square inch, for the same reason
COVERED = 0.15  # share of a panel that its points may cover, which decides how large they are
SMALLEST, LARGEST = 1.0, 4.0  # squares of the diameters of dots, which are in units of 1 / 72 inch
USUAL, LARGE, SMALL = 4.4, 3.4, 2.1  # sides in inches of a single panel, one of a few, one of many
BINS = 60
Limits = tuple[float, float, float, float]  # left, right, bottom, top


def new_axes(axes: Axes, limits: Limits, title: str = "") -> Axes:
    """Fixed limits, equal scales, small ticks."""
    left, right, bottom, top = limits
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    return axes


def bare_axes(axes: Axes, limits: Limits, title: str = "") -> Axes:
    """The same without ticks, for many small panels of one view."""
    new_axes(axes, limits, title).set(xticks=[], yticks=[])
    return axes


def most_shown(side: float) -> int:
    """How many points a panel of so many inches shows at most: the first ones, since sets of
    points have no order."""
    return min(MAX_POINTS, int(DENSEST * side**2))


def scatter(
    axes: Axes, points: Tensor, labels: Tensor | None = None, side: float = USUAL
) -> PathCollection:
    """Draw points, coloured by label where there is more than one.

    Args:
        side: of the axes, in inches; the number of points and their size depend on it.
    """
    shown = min(len(points), most_shown(side))
    x, y = points[:shown].T
    size = min(LARGEST, max(SMALLEST, COVERED * (72 * side) ** 2 / max(1, shown)))
    if labels is None or labels.unique().numel() < 2:
        return axes.scatter(x, y, s=size, c=INK, linewidths=0)
    colours = labels[:shown] % 10
    return axes.scatter(x, y, s=size, c=colours, cmap="tab10", vmin=-0.5, vmax=9.5, linewidths=0)


def draw_density(axes: Axes, points: Tensor, limits: Limits) -> None:
    """The density of points (N, 2) in a panel too small for dots: counts in BINS x BINS
    cells, each averaged with its neighbours. The darkest cell is the densest of this panel."""
    (left, right, bottom, top), (x, y) = limits, points.T.numpy()
    counts, _, _ = np.histogram2d(y, x, bins=BINS, range=((bottom, top), (left, right)))
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, (0.25, 0.5, 0.25), "same")
    # The square root also shows places with few points.
    axes.imshow(np.sqrt(counts), origin="lower", extent=limits, cmap="Blues", vmin=0)


def backdrop(axes: Axes, clean: Tensor) -> None:
    """Draw the data, pale, in the background."""
    x, y = clean[:MAX_POINTS].T
    axes.scatter(x, y, s=1, c="0.75", linewidths=0)


def panel_grid(
    count: int, columns: int, title: str, side: float = SMALL
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` square panels, each about `side` inches large with its caption, and
    its axes."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    width = max(3.6, (side + 0.2) * columns)
    lines = wrapped(title, width)
    height = (side + 0.3) * rows + 0.2 + LINE * len(lines)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.suptitle("\n".join(lines), fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def large_panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """A row of `count` panels large enough for arrows."""
    return panel_grid(count, count, title, LARGE)


def save_scatter(
    points: Tensor, path: Path, title: str, limits: Limits, labels: Tensor | None = None
) -> None:
    """One panel of samples, coloured by label if labels are given."""
    figure = Figure(figsize=(5, 5), dpi=DPI, layout="constrained")
    scatter(new_axes(figure.subplots(), limits), points, None if labels is None else labels.cpu())
    figure.suptitle("\n".join(wrapped(title, 5)), fontsize=9)
    save_figure(figure, path)


def save_scatter_panels(
    panels: Sequence[Tensor],
    captions: Sequence[str],
    path: Path,
    title: str,
    limits: Limits,
    labels: Tensor | None = None,
) -> None:
    """Points over time: a panel for each time with its caption, coloured by label.

    Up to four panels stand in one row, and more in rows of about equal length.
    """
    count = len(panels)
    side = LARGE if count <= 3 else SMALL
    rows = 1 if count <= 4 else math.ceil(count / 5)
    figure, axes = panel_grid(count, math.ceil(count / rows), title, side)
    for one, points, caption in zip(axes, panels, captions, strict=True):
        scatter(bare_axes(one, limits, caption), points, labels, side)
    save_figure(figure, path)


def save_scatter_animation(
    frames: Sequence[Tensor],
    captions: Sequence[str],
    path: Path,
    title: str,
    limits: Limits,
    labels: Tensor | None = None,
    progress: Sequence[float] | None = None,
) -> None:
    """A GIF of points on fixed axes, coloured by label; `progress` as for `animate`."""
    figure = Figure(figsize=(4.4, 4.4 + GIF_HEADER), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    bottom = 0.35 / (4.4 + GIF_HEADER)
    axes = figure.add_axes((0.09, bottom, 0.89, 4.0 / (4.4 + GIF_HEADER)))
    dots = scatter(new_axes(axes, limits), frames[0], labels)

    def draw(i: int) -> None:
        dots.set_offsets(frames[i][: most_shown(USUAL)])

    animate(figure, draw, captions, path, title, progress, hold=2.5)


def save_arrows(
    clean: Tensor,
    noisy: Sequence[Tensor],
    denoised: Sequence[Tensor],
    labels: Sequence[str],
    path: Path,
    title: str,
    limits: Limits,
) -> None:
    """Arrows from noisy points to their one-step denoised estimates, over the clean data.

    Args:
        clean: data (N, 2), drawn pale.
        noisy, denoised: for each panel the feet and the tips of the arrows, (K, 2).
    """
    figure, axes = large_panels(len(noisy), title)
    for one, feet, tips, label in zip(axes, noisy, denoised, labels, strict=True):
        new_axes(one, limits, label)
        backdrop(one, clean)
        x, y = feet.T
        along_x, along_y = (tips - feet).T
        one.quiver(
            x,
            y,
            along_x,
            along_y,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.003,
            color=INK,
            alpha=0.8,
        )
        one.scatter(x, y, s=4, c="tab:red", linewidths=0)
    save_figure(figure, path)


def save_field(
    grid: Tensor,
    scores: Sequence[Tensor],
    densities: Sequence[Tensor],
    labels: Sequence[str],
    path: Path,
    title: str,
    limits: Limits,
) -> None:
    """The score field on a grid over the density of the noisy data, one panel a noise level.

    Args:
        grid: where the arrows stand, (K, 2).
        scores: the field there for each panel, (K, 2). All arrows have the same length, since the
            score is many times longer far from the data than near them. Colours show its length,
            on one scale for all panels.
        densities: for each panel, at the `plots.density.places`, from 0 to 1, (SIDE^2,).
    """
    figure, all_axes = large_panels(len(scores), title)
    lengths = [score.norm(dim=1) for score in scores]
    longest = max(length.max().item() for length in lengths)
    scale = LogNorm(longest / SHORTEST, longest, clip=True)
    for axes, score, length, density, label in zip(
        all_axes, scores, lengths, densities, labels, strict=True
    ):
        new_axes(axes, limits, label)
        side = math.isqrt(len(density))
        # The square root also shows places with few points.
        shown = density.sqrt().view(side, side).numpy()
        axes.imshow(shown, origin="lower", extent=limits, cmap="Greys", vmin=0, vmax=1.6)
        direction = (score / length[:, None].clamp(min=1e-12)).T
        arrows = axes.quiver(
            *grid.T,
            *direction,
            length.numpy(),
            cmap="viridis_r",
            norm=scale,
            angles="xy",
            scale=28,
            width=0.0045,
        )
    bar = figure.colorbar(arrows, ax=all_axes, fraction=0.03, pad=0.01)
    bar.set_label("length of the score (1 / spread of the data)", fontsize=9)
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.set_major_formatter("{x:g}")
    save_figure(figure, path)


def save_paths(paths: Tensor, clean: Tensor, path: Path, title: str, limits: Limits) -> None:
    """The paths of a few points from noise (open circles) to samples (dots), over the data.

    Args:
        paths: (times, K, 2).
    """
    figure = Figure(figsize=(5.5, 5.5), dpi=DPI, layout="constrained")
    axes = new_axes(figure.subplots(), limits)
    backdrop(axes, clean)
    for k in range(paths.shape[1]):
        axes.plot(*paths[:, k].T, linewidth=0.8, alpha=0.8)
    x, y = paths[0].T
    axes.scatter(x, y, s=14, facecolors="none", edgecolors="0.3", label="noise")
    x, y = paths[-1].T
    axes.scatter(x, y, s=14, c="black", label="sample")
    axes.legend(fontsize=8, loc="upper right")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def save_gallery(shapes: Sequence[tuple[str, Tensor, Tensor]], path: Path, title: str) -> None:
    """All sets of points, (name, points, labels), on one sheet, each on its own axes."""
    figure, axes = panel_grid(len(shapes), 5, title)
    for one, (name, points, labels) in zip(axes, shapes, strict=True):
        low, high = points.min(0).values, points.max(0).values
        centre, reach = (low + high) / 2, 0.56 * (high - low).max().item()
        (x, y) = centre.tolist()
        new_axes(one, (x - reach, x + reach, y - reach, y + reach), name)
        scatter(one, points, labels, LARGE)  # as many points as in a large panel: there is no noise
    save_figure(figure, path)
