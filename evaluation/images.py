"""The figures of images: each for the samples, and for real images in their place.

Samples are compared with images that the model has not seen, the test split, in the features of a
classifier of these data (or else with all training images, as papers do it). The second number of
each pair is what as many real images reach in their place: no model can be expected to do better.
Those are a sixth of the training split that is kept from the classifier, which recognises what it
was trained on better than any other real image.
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

HELD_OUT = 6  # one in so many training images is kept from the classifier
CONFIDENT = 0.9  # probability that counts as a clear class
TRUSTED = 0.8  # accuracy of the classifier below which its features say little
FEWEST = 4  # real images: precision and recall go by the third neighbour of each
SHOWN = 16


def hold_out(train: Dataset) -> tuple[Dataset, Dataset]:
    """What the classifier is trained on, and the real images that it has not seen."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    count = len(train) // HELD_OUT
    kept, held = (
        replace(train, examples=train.examples[part], labels=train.labels[part])
        for part in (order[count:], order[:count])
    )
    return kept, held


class Reference(NamedTuple):
    """What samples are compared with.

    Attributes:
        train, test: the images that their model could learn from, and others of their kind.
        features: to compare in as `compare_as_papers_do`; None for those of a classifier.
        seen: how many of the first training images the model has learned from; None for all.
    """

    train: Dataset
    test: Dataset
    features: Features | None = None
    seen: int | None = None


def load_reference(
    config: Mapping[str, Any], data_dir: Path, features: str, device: torch.device | str
) -> Reference:
    """What samples of the model of a run are compared with.

    Args:
        config: of that run.
        data_dir: where datasets are.
        features: `classifier` or `inception`.

    Raises:
        InputError: it is not to be had, or there are no classes that a classifier could learn.
    """
    name = config["dataset"]
    if features == "classifier" and len(config["class_names"]) < 2:
        raise InputError(
            f"{name} has no classes, and images are compared by what a classifier of them sees: put"
            " the pictures of each class into a folder of their own, give arrays labels, or use"
            " --features inception"
        )
    load = partial(load_images, name, data_dir, settings=ImageSettings.of_run(config))
    train, test = load(), load(train=False)
    if min(len(test), len(train) // HELD_OUT) < FEWEST:
        raise InputError(
            f"{name} is too small to compare with: {len(train)} images to learn from and"
            f" {len(test)} held out; {FEWEST * HELD_OUT} and {FEWEST} are needed"
        )
    inception = load_inception(device) if features == "inception" else None
    return Reference(train, test, inception, config["subset"])


def report_accuracy(accuracy: float) -> None:
    """Say how good the classifier is, whose features decide what the figures are worth."""
    print(f"the classifier is right about {accuracy:.1%} of the test images", flush=True)
    if accuracy < TRUSTED:
        print(
            f"warning: below {TRUSTED:.0%} its features say little, so do not trust the figures",
            flush=True,
        )


def report_real(count: int, samples: int, which: str) -> None:
    """Say how many real images stand in the place of the samples."""
    fewer = ", fewer than the samples: their FID is too high" if count < samples else ""
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
        samples: uint8, as the dataset's own images: (N, H, W) or (N, H, W, 3).
        reference: what to compare them with.
        data_dir: where classifiers are kept.
        picture: where to draw.
        labels: of the classes that were asked for, int64 (N,).
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
    # As many as samples, as far as they go: some figures depend on the number.
    of_real, real_classes = classify(model, held.examples[: len(samples)], device)
    report_real(len(of_real), len(samples), "that the classifier has not seen")
    draw_extremes(samples, nearest(of_samples, of_test), picture)
    shares = torch.bincount(train.labels, minlength=train.classes) / len(train)
    # Far below the value for unseen real images, it would mean copies of training images.
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

    return with_errors(figures, errors(figures, without_some, len(samples)))


def compare_as_papers_do(
    features: Features, samples: Tensor, reference: Reference, picture: Path
) -> Figures:
    """Figures for samples and for as many unseen images, both against all training images.

    Which test images those are is drawn, since files can be in the order of their classes.
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

    return with_errors(figures, errors(figures, without_some, len(samples)))


def median_distances(of_samples: Tensor, of_real: Tensor) -> Figure:
    """The median distance of samples to a training image, beside that of real images."""
    return Figure(of_samples.median().item(), of_real.median().item())


def quick_figures(found: Tensor, real: Tensor, distances: Tensor) -> dict[str, float]:
    """The figures that are quick enough to be taken again for each part of the samples."""
    return {
        "FID": frechet_distance(found, real),
        "KID x 1000": 1000 * kernel_distance(found, real),
        "median distance to a training image": distances.median().item(),
    }


def errors(
    figures: Figures, without_some: Callable[[Tensor], dict[str, float]], count: int
) -> dict[str, float]:
    """The standard errors of figures of `count` samples."""
    shares = ("precision", "recall", "share of the class asked for")
    found = {name: of_share(figures[name].samples, count) for name in shares if name in figures}
    return found | jackknife(without_some, count)


def both(
    figures: Callable[[Tensor, Tensor], dict[str, float]],
    of_samples: tuple[Tensor, Tensor],
    of_real: tuple[Tensor, Tensor],
) -> Figures:
    """Figures for the samples beside the same figures for real images in their place."""
    found, floor = figures(*of_samples), figures(*of_real)
    return {name: Figure(found[name], floor[name]) for name in found}


def distribution_figures(found: Tensor, real: Tensor) -> dict[str, float]:
    """How alike two sets of images are as a whole, by their features (N, D) and (M, D)."""
    precision, recall = precision_and_recall(real, found)
    return {
        "FID": frechet_distance(found, real),
        "KID x 1000": 1000 * kernel_distance(found, real),
        "precision": precision,
        "recall": recall,
    }


def class_figures(probabilities: Tensor, shares: Tensor) -> dict[str, float]:
    """How clear the classes of images are, and how often each is there, beside its true share."""
    return {
        f"share classified with p >= {CONFIDENT}": confident_share(probabilities),
        "largest error of a class's share": largest_error(probabilities, shares),
    }


def confident_share(probabilities: Tensor) -> float:
    return (probabilities.max(1).values >= CONFIDENT).float().mean().item()


def share_right(probabilities: Tensor, labels: Tensor) -> float:
    """The share of images that the classifier takes for what they should be."""
    return (probabilities.argmax(1) == labels).float().mean().item()


def largest_error(probabilities: Tensor, shares: Tensor) -> float:
    """The largest difference of a class's share among the samples from its true one."""
    found = torch.bincount(probabilities.argmax(1), minlength=len(shares)) / len(probabilities)
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
