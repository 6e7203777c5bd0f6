"""Animations: a title, a caption and a progress bar above frames of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from plots.images import Sheet, grid
from system.files import atomic_write

GIF_HEADER = 0.62  # inches above an animation, for title, caption and progress bar
LONGEST_SIDE = 720  # of an animation of images, in pixels, about


def save_animation(
    frames: Sequence[Tensor],
    captions: Sequence[str],
    path: Path,
    title: str,
    sheet: Sheet | None = None,
    progress: Sequence[float] | None = None,
) -> None:
    """A GIF of images: (images, H, W) or (images, H, W, 3), and a caption, for each frame.

    Args:
        sheet: where the images stand; None for a grid.
        progress: see `animate`.
    """
    images = len(frames[0])
    columns = images if images <= 4 else math.ceil(images / max(1, round(math.sqrt(images / 2))))
    sheet = sheet or grid(images, columns)
    longest = max(sheet.tile(frames[0]).shape[:2])
    zoom = max(1, min(3, LONGEST_SIDE // longest))
    figure, axes = sheet.draw(frames[0], zoom, GIF_HEADER)
    shown = axes.get_images()[0]
    animate(
        figure, lambda i: shown.set_data(sheet.tile(frames[i])), captions, path, title, progress
    )


def animate(
    figure: Figure,
    draw: Callable[[int], None],
    captions: Sequence[str],
    path: Path,
    title: str,
    progress: Sequence[float] | None = None,
    seconds: float = 5.0,
    hold: float = 1.5,
) -> None:
    """Write a GIF: a title, a caption and a progress bar above the frames, drawn by `draw(i)`.

    Args:
        figure: with the top `GIF_HEADER` inches left free.
        progress: the filled share of the bar at each frame; None: from 0 to 1 over the frames.
        seconds: how long it runs, before `hold` seconds on the last frame.
    """
    top = figure.get_figheight()
    figure.text(0.5, 1 - 0.06 / top, title, fontsize=10, ha="center", va="top")
    caption = figure.text(0.5, 1 - 0.27 / top, "", fontsize=9, ha="center", va="top")
    bar = figure.add_axes((0.04, 1 - 0.54 / top, 0.92, 0.07 / top), facecolor="0.88")
    bar.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    mark = bar.barh(0.5, 0.0, height=1.0, color="0.25")[0]
    frames = []
    progress = np.linspace(0, 1, len(captions)).tolist() if progress is None else progress
    for i, (text, share) in enumerate(zip(captions, progress, strict=True)):
        draw(i)
        caption.set_text(text)
        mark.set_width(share)
        frames.append(snapshot(figure))
    durations = [1000 * seconds / len(frames)] * (len(frames) - 1) + [1000 * hold]
    colours = np.stack(frames)
    if (colours == colours[..., :1]).all():
        colours = colours[..., 0]  # a grey GIF needs no palette search and is far smaller
    with atomic_write(path) as temporary:
        iio.imwrite(temporary, colours, duration=durations, loop=0)


def snapshot(figure: Figure) -> np.ndarray:
    """A figure as uint8 (H, W, 3), in 32 levels: noise in more levels makes a GIF far larger."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    rgb = np.asarray(canvas.buffer_rgba())[:, :, :3]
    return np.round(np.round(rgb * (31 / 255)) * (255 / 31)).astype(np.uint8)
