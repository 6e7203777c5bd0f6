"""The figures of evaluate.py: each for the samples, and for real data in their place.

Samples are compared with data that the model has not seen: the test split, or fresh points. The
second number of each pair is what as many real images or fresh points reach in their place: no
model can be expected to do better. Those images are a sixth of the training split that is kept from
the classifier, which recognises what it was trained on better than any other real image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import plots.images
import plots.points
from datasets import Dataset, load_images, load_points
from evaluation.classifier import classify, load_classifier
from evaluation.image_metrics import frechet_distance, kernel_distance, precision_and_recall
from evaluation.point_metrics import energy_distance, nearest, share_off, sliced_wasserstein
from plots.pictures import PointPictures

HELD_OUT = 6  # one in so many training images is kept from the classifier
CONFIDENT = 0.9  # probability from which on the classifier is sure of a class
SHOWN = 16

Figures = dict[str, tuple[float, float]]


def hold_out(train: Dataset) -> tuple[Dataset, Dataset]:
    """What the classifier is trained on, and the real images that it has not seen."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    count = len(train) // HELD_OUT
    kept, held = (
        Dataset(train.name, train.examples[part], train.labels[part])
        for part in (order[count:], order[:count])
    )
    return kept, held


def evaluate_images(
    samples: Tensor,
    name: str,
    data_dir: Path,
    picture: Path,
    device: torch.device,
    labels: Tensor | None = None,
) -> Figures:
    """Figures for images uint8 (N, 28, 28); also draws the most and the least typical of them.

    Args:
        name: of the dataset to compare with.
        labels: of the classes that were asked for, int64 (N,).
    """
    train, test = load_images(name, data_dir), load_images(name, data_dir, train=False)
    kept, held = hold_out(train)
    model = load_classifier(kept, data_dir, device)
    of_samples, classes = classify(model, samples, device)
    of_test, _ = classify(model, test.examples, device)
    of_train, _ = classify(model, train.examples, device)
    # As many as samples, as far as they go: some figures depend on the number.
    of_real, real_classes = classify(model, held.examples[: len(samples)], device)
    fewer = ", fewer than the samples: their FID is too high" if len(of_real) < len(samples) else ""
    print(f"real data: {len(of_real):,} images that the classifier has not seen{fewer}", flush=True)

    precision, recall = precision_and_recall(of_test, of_samples)
    real_precision, real_recall = precision_and_recall(of_test, of_real)
    shares = torch.bincount(train.labels, minlength=10) / len(train)
    to_train, test_to_train = nearest(of_samples, of_train), nearest(of_test, of_train)
    draw_extremes(samples, nearest(of_samples, of_test), picture)
    figures = {
        "FID": (frechet_distance(of_samples, of_test), frechet_distance(of_real, of_test)),
        "KID x 1000": (
            1000 * kernel_distance(of_samples, of_test),
            1000 * kernel_distance(of_real, of_test),
        ),
        "precision": (precision, real_precision),
        "recall": (recall, real_recall),
        f"share classified with p >= {CONFIDENT}": (
            confident_share(classes),
            confident_share(real_classes),
        ),
        "largest error of a class's share": (
            largest_error(classes, shares),
            largest_error(real_classes, shares),
        ),
        # Far below the value for unseen real images, it would mean copies of training images.
        "median distance to a training image": (
            to_train.median().item(),
            test_to_train.median().item(),
        ),
    }
    if labels is not None:
        figures["share of the class asked for"] = (
            share_right(classes, labels),
            share_right(real_classes, held.labels[: len(samples)]),
        )
    return figures


def confident_share(probabilities: Tensor) -> float:
    return (probabilities.max(1).values >= CONFIDENT).float().mean().item()


def share_right(probabilities: Tensor, labels: Tensor) -> float:
    """The share of images that the classifier takes for what they should be."""
    return (probabilities.argmax(1) == labels).float().mean().item()


def largest_error(probabilities: Tensor, shares: Tensor) -> float:
    """The largest difference of a class's share among the samples from its true one."""
    found = torch.bincount(probabilities.argmax(1), minlength=10) / len(probabilities)
    return (found - shares).abs().max().item()


def draw_extremes(samples: Tensor, distance: Tensor, path: Path) -> None:
    """The samples nearest to real images, in features, above those farthest from any."""
    order = distance.argsort()
    count = min(SHOWN, len(samples) // 2)
    rows = torch.stack([samples[order[:count]], samples[order[-count:].flip(0)]])
    plots.images.save_panels(
        rows.transpose(0, 1),
        [str(i + 1) for i in range(count)],
        path,
        "Samples nearest to real images (above) and farthest from any (below)",
    )


def evaluate_points(
    samples: Tensor, config: Mapping[str, Any], pictures: PointPictures, picture: Path
) -> Figures:
    """Figures for points (N, 2) in the data's units; distances are in units of their spread."""
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
