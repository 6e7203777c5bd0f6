"""What tests of pictures need: figures as they were before they became pixels, and models at once.

The scripts run in this process, and models are as they are before training.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import plots.animation
from checkpoints import save_checkpoint
from cli.train_options import parse_arguments
from train import make_trainer

IMAGES = "--dataset digits --subset 40 --base_channels 8".split()
POINTS = "--num_points 300 --hidden_size 8 --embedding_size 8".split()


def write_model(path: str, *options: object) -> dict:
    """A model of a run with these options of train.py that has not begun; its configuration."""
    args = parse_arguments(["--device", "cpu", *map(str, options)], "\n")
    run = make_trainer(args).run
    save_checkpoint(Path(path), run.config, run.model, run.ema)
    return run.config


def record_figures(monkeypatch) -> dict[str, Figure]:
    """From now on figures are not drawn but kept here, by the stem of their file's name."""
    figures = {}

    def keep(figure: Figure, path: Path, **options: object) -> None:
        path.touch()
        figures[path.name.split(".")[1]] = figure  # .STEM.PROCESS.tmp.png

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@dataclass
class Frame:
    """What one frame of an animation shows: pixels or the places of points, and what is above."""

    content: np.ndarray
    title: str
    caption: str
    progress: float
    axes: Axes


def record_frames(monkeypatch) -> list[Frame]:
    """From now on the frames of animations are kept here, before they become pixels."""
    frames = []

    def keep(figure: Figure) -> np.ndarray:
        axes, bar = figure.axes
        content = picture(axes) if axes.get_images() else dots(axes)[0]
        title, caption = (text.get_text() for text in figure.texts)
        frames.append(Frame(content.copy(), title, caption, bar.patches[0].get_width(), axes))
        return np.full((8, 8, 3), len(frames) % 256, dtype=np.uint8)  # each frame another

    monkeypatch.setattr(plots.animation, "snapshot", keep)
    return frames


def title(figure: Figure) -> str:
    return figure.get_suptitle() or figure.axes[0].get_title()


def texts_beside(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def texts_above(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


def picture(axes) -> np.ndarray:
    """The pixels of the image on these axes."""
    return np.asarray(axes.get_images()[0].get_array())


def dots(axes) -> list[np.ndarray]:
    """The points of each scatter plot on these axes, (N, 2), in the order of drawing."""
    return [np.asarray(c.get_offsets()) for c in axes.collections if type(c) is PathCollection]
