"""Measures of quality for images: for the samples and, for comparison, for real images.

Samples are compared with images that the model has not seen, the test split, in the features of a
classifier of these data (or, as in papers, with all training images). The second number of each
pair is the figure for the same number of real images: no model can be expected to do better. With
the classifier, these are a sixth of the training split. They are not shown to it, since it
recognises its own training images better than other real images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import plots.images
from datasets import Dataset, load_images
from datasets.settings import ImageSettings
from evaluation import Figure, Figures
from evaluation.classifier import classify, load_classifier
from evaluation.errors import jackknife, of_share, with_errors
from evaluation.image_metrics import frechet_distance, kernel_distance, precision_and_recall
from evaluation.inception import Features, load_inception
from evaluation.point_metrics import nearest
from system.errors import InputError

HELD_OUT = 6  # one in this many training images is held out from the classifier
CONFIDENT = 0.9  # the lowest probability that counts as a clear class
TRUSTED = 0.8  # accuracy of the classifier below which its features say little
FEWEST = 4  # real images, since precision and recall need the third neighbour of each
SHOWN = 16


def hold_out(train: Dataset) -> tuple[Dataset, Dataset]:
    """The training data of the classifier, and the real images that it has not seen."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    count = len(train) // HELD_OUT
    kept, held = (
        replace(train, examples=train.examples[part], labels=train.labels[part])
        for part in (order[count:], order[:count])
    )
    return kept, held


class Reference(NamedTuple):
    """The real images for a comparison with samples.

    Attributes:
        train, test: the two splits of the model's dataset.
        features: for `compare_as_papers_do`; None for the features of a classifier.
        seen: the model has learned from this many of the first training images; None for all.
    """

    train: Dataset
    test: Dataset
    features: Features | None = None
    seen: int | None = None

    @property
    def unseen(self) -> int:
        """The number of real images that can take the place of samples."""
        return len(self.test) if self.features else len(self.train) // HELD_OUT


def load_reference(
    config: Mapping[str, Any], data_dir: Path, features: str, device: torch.device | str
) -> Reference:
    """The real images for a comparison with samples of a run's model.

    Args:
        config: of the run.
        data_dir: the folder of datasets.
        features: `classifier` or `inception`.

    Raises:
        InputError: they are not available or too few, or have no classes for a classifier to learn.
    """
    name = config["dataset"]
    if features == "classifier" and len(config["class_names"]) < 2:
        raise InputError(
            f"{name} has no classes, so there is no classifier with features to compare images in:"
            " put the pictures of each class into a separate folder, give arrays labels, or use"
            " --features inception"
        )
    load = partial(load_images, name, data_dir, settings=ImageSettings.of_run(config))
    train, test = load(), load(train=False)
    if min(len(test), len(train) // HELD_OUT) < FEWEST:
        raise InputError(
            f"{name} is too small for a comparison: it has {len(train)} images to learn from and"
            f" {len(test)} held out; {FEWEST * HELD_OUT} and {FEWEST} are needed"
        )
    inception = load_inception(device) if features == "inception" else None
    return Reference(train, test, inception, config["subset"])


def prepare_classifier(reference: Reference, data_dir: Path, device: torch.device | str) -> None:
    """Train the classifier in whose features images will be compared, if it is not in the cache.

    Raises:
        InputError: it cannot be kept there.
    """
    if reference.features is None:
        load_classifier(hold_out(reference.train)[0], data_dir, device)


def report_accuracy(accuracy: float) -> None:
    """Print the accuracy of the classifier, and warn if its features cannot be trusted."""
    print(f"the classifier labels {accuracy:.1%} of the test images correctly", flush=True)
    if accuracy < TRUSTED:
        print(
            f"warning: below {TRUSTED:.0%}, its features say little; do not trust the figures",
            flush=True,
        )


def report_real(count: int, samples: int, which: str) -> None:
    """Print the number of real images that are compared in place of the samples."""
    fewer = ", fewer than the samples, so their FID is too high" if count < samples else ""
    print(f"real data: {count:,} images {which}{fewer}", flush=True)


def evaluate_images(
    samples: Tensor,
    reference: Reference,
    data_dir: Path,
    picture: Path,
    device: torch.device,
    labels: Tensor | None = None,
) -> Figures:
    """Figures for images; also draws the most and the least typical of them.

    Args:
        samples: uint8, like the dataset's own images: (N, H, W) or (N, H, W, 3).
        reference: the real images.
        data_dir: the folder in which classifiers are kept.
        picture: the file to draw.
        labels: the classes that the samples should have, int64 (N,).
    """
    train, test, features, seen = reference
    if features is not None:
        return compare_as_papers_do(features, samples, reference, picture)
    kept, held = hold_out(train)
    model = load_classifier(kept, data_dir, device)
    of_samples, classes = classify(model, samples, device)
    of_test, test_classes = classify(model, test.examples, device)
    report_accuracy(share_right(test_classes, test.labels))
    of_seen, _ = classify(model, train.examples[:seen], device)
    # As many as samples, if there are enough, since some figures depend on the number.
    of_real, real_classes = classify(model, held.examples[: len(samples)], device)
    report_real(len(of_real), len(samples), "that the classifier has not seen")
    draw_extremes(samples, nearest(of_samples, of_test), picture)
    shares = torch.bincount(train.labels, minlength=train.classes) / len(train)
    # A median far below that of unseen real images would be a sign of copies.
    distances = [nearest(found, of_seen) for found in (of_samples, of_test)]
    figures = {
        **both(distribution_figures, (of_samples, of_test), (of_real, of_test)),
        **both(class_figures, (classes, shares), (real_classes, shares)),
        "median distance to a training image": median_distances(*distances),
    }
    if labels is not None:
        figures["share of the class asked for"] = Figure(
            share_right(classes, labels),
            share_right(real_classes, held.labels[: len(samples)]),
        )

    def without_some(part: Tensor) -> dict[str, float]:
        return quick_figures(of_samples[part], of_test, distances[0][part]) | class_figures(
            classes[part], shares
        )

    return estimate_errors(figures, without_some, len(samples), len(of_test))


def compare_as_papers_do(
    features: Features, samples: Tensor, reference: Reference, picture: Path
) -> Figures:
    """Figures for samples and as many unseen images, both compared with all training images.

    The unseen images are a random choice of test images, since files can be sorted by class.
    """
    train, test, _, seen = reference
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    unseen = test.examples[order[: len(samples)]]
    report_real(len(unseen), len(samples), "of the test split")
    print(f"compared with: all {len(train):,} training images", flush=True)
    of_samples, of_unseen, of_train = map(features, (samples, unseen, train.examples))
    distances = [nearest(found, of_train[:seen]) for found in (of_samples, of_unseen)]
    draw_extremes(samples, distances[0], picture)
    figures = {
        **both(distribution_figures, (of_samples, of_train), (of_unseen, of_train)),
        "median distance to a training image": median_distances(*distances),
    }

    def without_some(part: Tensor) -> dict[str, float]:
        return quick_figures(of_samples[part], of_train, distances[0][part])

    return estimate_errors(figures, without_some, len(samples), len(of_train))


def median_distances(of_samples: Tensor, of_real: Tensor) -> Figure:
    """The median distance to a training image, for samples and for real images."""
    return Figure(of_samples.median().item(), of_real.median().item())


def quick_figures(found: Tensor, real: Tensor, distances: Tensor) -> dict[str, float]:
    """The figures that are fast enough to compute again for each part of the samples."""
    median = {"median distance to a training image": distances.median().item()}
    return distances_between(found, real) | median


def estimate_errors(
    figures: Figures, without_some: Callable[[Tensor], dict[str, float]], count: int, real: int
) -> Figures:
    """The figures for `count` samples, compared with `real` images, with their standard errors."""
    counts = {"precision": count, "recall": real, "share of the class asked for": count}
    found = {n: of_share(figures[n].samples, k) for n, k in counts.items() if n in figures}
    return with_errors(figures, found | jackknife(without_some, count))


def both(
    figures: Callable[[Tensor, Tensor], dict[str, float]],
    of_samples: tuple[Tensor, Tensor],
    of_real: tuple[Tensor, Tensor],
) -> Figures:
    """Figures for the samples, and the same figures for real images in their place."""
    found, floor = figures(*of_samples), figures(*of_real)
    return {name: Figure(found[name], floor[name]) for name in found}


def distribution_figures(found: Tensor, real: Tensor) -> dict[str, float]:
    """The similarity of two sets of images, by their features (N, D) and (M, D)."""
    precision, recall = precision_and_recall(real, found)
    return {**distances_between(found, real), "precision": precision, "recall": recall}


def distances_between(found: Tensor, real: Tensor) -> dict[str, float]:
    """FID and KID of two sets of images, by their features (N, D) and (M, D)."""
    return {
        "FID": frechet_distance(found, real),
        "KID x 1000": 1000 * kernel_distance(found, real),
    }


def class_figures(probabilities: Tensor, shares: Tensor) -> dict[str, float]:
    """The share of images with a clear class, and the largest error of the share of a class."""
    return {
        f"share classified with p >= {CONFIDENT}": confident_share(probabilities),
        "largest error of a class's share": largest_error(probabilities, shares),
    }


def confident_share(probabilities: Tensor) -> float:
    return (probabilities.max(1).values >= CONFIDENT).float().mean().item()


def share_right(probabilities: Tensor, labels: Tensor) -> float:
    """The share of images that the classifier assigns to their labels."""
    return (probabilities.argmax(1) == labels).float().mean().item()


def largest_error(probabilities: Tensor, shares: Tensor) -> float:
    """The largest difference between the share of a class in the samples and its true share."""
    found = torch.bincount(probabilities.argmax(1), minlength=len(shares)) / len(probabilities)
    return (found - shares).abs().max().item()


def draw_extremes(samples: Tensor, distance: Tensor, path: Path) -> None:
    """Draw the samples nearest to real images, in features, above those farthest from any."""
    order = distance.argsort()
    count = min(SHOWN, len(samples) // 2)
    rows = torch.stack([samples[order[:count]], samples[order[-count:].flip(0)]])
    plots.images.save_panels(
        rows.transpose(0, 1),
        [str(i + 1) for i in range(count)],
        path,
        "Samples nearest to real images (above) and farthest from any (below)",
    )
