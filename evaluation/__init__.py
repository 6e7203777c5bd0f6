"""The figures of evaluate.py, for images and for points."""

from __future__ import annotations

import math
from typing import NamedTuple


class Figure(NamedTuple):
    """One measure of the quality of samples.

    Attributes:
        samples: its value for the samples.
        real: its value for real data in their place; NaN if it is not known.
        error: the standard error for this number of samples; NaN if it is not known.
    """

    samples: float
    real: float
    error: float = math.nan


Figures = dict[str, Figure]
