"""The figures of evaluate.py, of images and of points."""

from __future__ import annotations

import math
from typing import NamedTuple


class Figure(NamedTuple):
    """One figure of samples.

    Attributes:
        samples: its value.
        real: its value for real data in their place; NaN where that is not known.
        error: the standard error that the number of samples leaves; NaN where it is not known.
    """

    samples: float
    real: float
    error: float = math.nan


Figures = dict[str, Figure]
