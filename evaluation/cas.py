"""Classification accuracy score: the accuracy of a classifier trained on samples alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datasets import Dataset
from evaluation import Figure, Figures
from evaluation.classifier import Classifier, classify, load_classifier, train_classifier
from evaluation.errors import of_share
from evaluation.images import Reference, hold_out, share_right

PURPOSE = "its accuracy is compared with that of a classifier trained on samples"


def classification_accuracy(
    samples: Tensor, labels: Tensor, reference: Reference, data_dir: Path, device: torch.device
) -> Figures:
    """The accuracy on real test images of a classifier trained on samples (Ravuri & Vinyals 2019).

    It does not depend on a space of features, so it can be compared between projects, for similar
    classifiers and the same number of samples. The value for real data is the accuracy of the same
    classifier, trained on as many real images.

    Args:
        samples: uint8, like the dataset's own images: (N, H, W) or (N, H, W, 3).
        labels: the classes that the samples should have, int64 (N,).
        data_dir: the folder in which classifiers are kept.
    """
    train, test, count = reference.train, reference.test, len(samples)
    made = replace(train, examples=samples, labels=labels.to(samples.device))
    real, _ = hold_out(train)
    real = replace(real, examples=real.examples[:count], labels=real.labels[:count])
    if len(real) < count:
        print(
            f"classification accuracy score: only {len(real):,} real images for {count:,} samples"
        )
    learned = train_classifier(made, device, name="classifier of the samples")
    right = accuracy(learned, test, device)
    figure = Figure(
        right,
        accuracy(load_classifier(real, data_dir, device, PURPOSE), test, device),
        of_share(right, len(test)),
    )
    return {"classification accuracy score": figure}


def accuracy(model: Classifier, test: Dataset, device: torch.device) -> float:
    """The share of test images that a classifier labels correctly."""
    _, classes = classify(model, test.examples, device)
    return share_right(classes, test.labels)
