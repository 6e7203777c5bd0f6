"""The figures of points: each for the samples, and for fresh points in their place.

Samples are compared with fresh points, made as the training data were. The second number of each
pair is what as many other fresh points reach in their place: no model can be expected to do better.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import plots.points
from datasets import load_points
from evaluation import Figures
from evaluation.point_metrics import energy_distance, nearest, share_off, sliced_wasserstein
from plots.pictures import PointPictures


def evaluate_points(
    samples: Tensor, config: Mapping[str, Any], pictures: PointPictures, picture: Path
) -> Figures:
    """Figures for points (N, 2) in the data's units; distances are in units of their spread.

    Args:
        config: of the model's run.
        pictures: of the model's data.
        picture: where to draw both.
    """
    count = len(samples)
    fresh, other = (
        load_points(config["dataset"], count, config["jitter"] or 0.0, config["seed"] + k).examples
        for k in (1001, 1002)
    )
    plots.points.save_scatter_panels(
        [fresh, samples],
        ["data", "samples"],
        picture,
        f"{count:,} points",
        pictures.limits,
    )
    samples, fresh, other = (pictures.units.to_model(x) for x in (samples, fresh, other))

    def off(points: Tensor, centres: Tensor) -> float:
        return share_off(nearest(points, centres))

    return {
        "energy distance": (energy_distance(samples, fresh), energy_distance(other, fresh)),
        "sliced Wasserstein-2": (
            sliced_wasserstein(samples, fresh),
            sliced_wasserstein(other, fresh),
        ),
        "share of samples off the data": (off(samples, fresh), off(other, fresh)),
        "share of the data without a sample": (off(fresh, samples), off(fresh, other)),
    }
