"""Measures of quality for points: for the samples and, for comparison, for fresh points.

Samples are compared with fresh points, made in the same way as the training data. The second number
of each pair is the figure for as many other fresh points: no model can be expected to do better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import plots.points
from datasets import load_points
from datasets.densities import LOG_DENSITIES
from datasets.units import PointUnits
from diffusion import Diffusion, Model
from evaluation import Figure, Figures
from evaluation.errors import jackknife, of_share, with_errors
from evaluation.likelihood import log_density_of_data
from evaluation.point_metrics import (
    energy_distance,
    mean_distance,
    nearest,
    share_off,
    sliced_wasserstein,
)
from plots.pictures import PointPictures

LIKELIHOOD_POINTS = 2000


def fresh_points(config: Mapping[str, Any], count: int, draw: int) -> Tensor:
    """Points (count, 2) made in the same way as those of a run, but different for each `draw`."""
    jitter, seed = config["jitter"] or 0.0, config["seed"] + 1000 + draw
    return load_points(config["dataset"], count, jitter, seed).examples


def likelihood_figures(
    diffusion: Diffusion, model: Model, units: PointUnits, config: Mapping[str, Any]
) -> Figures:
    """The mean log-density of fresh points under a model, and the true value if it is known.

    The higher the density of unseen points under a model, the better the model. The two values
    differ by the Kullback-Leibler divergence of the model from the truth. They are in nats, in the
    units of the data.

    Args:
        model: a function of x and t that returns the prediction, without labels.
        config: of the model's run.
    """
    points = fresh_points(config, LIKELIHOOD_POINTS, 3)
    found = log_density_of_data(diffusion, model, units, points).mean().item()
    true = LOG_DENSITIES.get(config["dataset"])
    best = math.nan if true is None else true(points).mean().item()
    return {"log-density of fresh points (nats)": Figure(found, best)}


def evaluate_points(
    samples: Tensor, config: Mapping[str, Any], pictures: PointPictures, picture: Path
) -> Figures:
    """Figures for points (N, 2) in the data's units; distances are in units of their spread.

    Args:
        config: of the model's run.
        pictures: for the model's data.
        picture: the file in which samples and fresh points are drawn.
    """
    count = len(samples)
    fresh, other = (fresh_points(config, count, draw) for draw in (1, 2))
    plots.points.save_scatter_panels(
        [fresh, samples],
        ["data", "samples"],
        picture,
        f"{count:,} fresh points of the data, and as many samples",
        pictures.limits,
    )
    samples, fresh, other = (pictures.units.to_model(x) for x in (samples, fresh, other))

    def off(points: Tensor, centres: Tensor) -> float:
        return share_off(nearest(points, centres))

    figures = {
        "energy distance": Figure(energy_distance(samples, fresh), energy_distance(other, fresh)),
        "sliced Wasserstein-2": Figure(
            sliced_wasserstein(samples, fresh), sliced_wasserstein(other, fresh)
        ),
        "share of samples off the data": Figure(off(samples, fresh), off(other, fresh)),
        "share of the data without a sample": Figure(off(fresh, samples), off(fresh, other)),
    }

    def without_some(part: Tensor) -> dict[str, float]:
        # Terms that are the same for every part are left out.
        some = samples[part]
        return {
            "energy distance": 2 * mean_distance(some, fresh) - mean_distance(some, some),
            "sliced Wasserstein-2": sliced_wasserstein(some, fresh[: len(some)]),
        }

    shares = [name for name in figures if name.startswith("share")]
    binomial = {name: of_share(figures[name].samples, count) for name in shares}
    return with_errors(figures, binomial | jackknife(without_some, count))
