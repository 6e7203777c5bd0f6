"""What all pictures have in common: how they are written and read, and how texts are made to fit.

Figures are made without pyplot, so nothing here needs or opens a display.
"""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from system.files import atomic_write

DPI = 100
LETTER, LINE = 0.075, 0.2  # width of a letter and height of a line of text, in inches


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with atomic_write(path) as temporary, warnings.catch_warnings():
        # The name of a class may need letters that no font here has; its number is shown too.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, dpi=DPI)


def label_log_axis(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of each decade, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def wrapped(title: str, inches: float) -> list[str]:
    """A title split into lines of at most so many inches."""
    return textwrap.wrap(title, int(inches / LETTER)) or [""]


def literal(text: str) -> str:
    """A text, such as the name of a file, escaped so that matplotlib sees no formula in it."""
    return text.replace("$", r"\$")


def read_picture(path: Path) -> np.ndarray:
    """Read a written picture as uint8 (H, W, 3)."""
    return iio.imread(path)[..., :3]


def evenly_spaced(count: int, total: int) -> list[int]:
    """Up to `count` indices spread over range(total), including the first and the last."""
    if total <= count:
        return list(range(total))
    return sorted({round(i) for i in torch.linspace(0, total - 1, count).tolist()})
