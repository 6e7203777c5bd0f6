"""Standard errors of figures: by closed forms, and beside the spread of independent samples."""

import math
import statistics

import pytest
import torch

from evaluation import Figure
from evaluation.errors import GROUPS, jackknife, of_share, with_errors
from evaluation.image_metrics import frechet_distance
from evaluation.point_metrics import mean_distance


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    found = jackknife(lambda part: {"mean": x[part].mean().item()}, len(x))["mean"]
    # Of group means m_g the jackknife is their standard deviation over the root of their number.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    means = torch.stack([group.mean() for group in x[order].tensor_split(GROUPS)])
    assert found == pytest.approx(means.std().item() / math.sqrt(GROUPS), rel=1e-9)
    assert found == pytest.approx(3 / math.sqrt(len(x)), rel=0.8)


def test_each_sample_is_left_out_once():
    seen = []
    jackknife(lambda part: seen.append(part) or {"x": 0.0}, 23)
    left_out = [set(range(23)) - set(part.tolist()) for part in seen]
    assert sorted(k for group in left_out for k in group) == list(range(23))


@pytest.mark.parametrize("distance", ["frechet", "energy"])
def test_errors_are_about_the_spread_of_other_samples(distance):
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(500, 4, generator=generator)

    def figure(x):
        if distance == "frechet":
            return frechet_distance(x, real)
        return 2 * mean_distance(x, real) - mean_distance(x, x)

    values, errors = [], []
    for _ in range(24):
        x = torch.randn(500, 4, generator=generator) * 1.2 + 0.3
        values.append(figure(x))
        found = jackknife(lambda part, x=x: {"it": figure(x[part])}, len(x))
        errors.append(found["it"])
    ratio = statistics.mean(errors) / statistics.stdev(values)
    assert 0.6 < ratio < 1.6


def test_the_error_of_a_share_is_binomial():
    assert of_share(0.5, 100) == 0.05
    assert of_share(1.0, 100) == 0
    figures = with_errors({"a": Figure(1.0, 2.0), "b": Figure(1.0, 2.0, 0.5)}, {"a": 0.25})
    assert figures == {"a": Figure(1.0, 2.0, 0.25), "b": Figure(1.0, 2.0, 0.5)}
