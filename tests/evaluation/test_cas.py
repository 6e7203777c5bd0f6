"""The classification accuracy score, with samples whose labels are right, and wrong."""

from dataclasses import replace

import pytest
import torch
from scripts import refuse, succeed

import evaluation.cas
from datasets import Dataset
from datasets.digits import make_digits
from evaluation.cas import classification_accuracy
from evaluation.images import Reference


def test_classifiers_are_trained_on_samples_and_on_as_many_real_images(tmp_path, monkeypatch):
    pixels, labels = make_digits(train=True, count=600)
    train = Dataset("digits", pixels, labels)
    test = replace(train, examples=pixels[:50], labels=labels[:50])
    learned = {}

    def remember(data, *_, **__):
        learned["samples" if data.examples is samples else "real"] = data
        return data

    samples, asked_for = pixels[:120].flip(2), labels[:120]
    monkeypatch.setattr(evaluation.cas, "train_classifier", remember)
    monkeypatch.setattr(evaluation.cas, "load_classifier", remember)
    accuracies = iter((0.8, 0.9))
    monkeypatch.setattr(evaluation.cas, "accuracy", lambda *_: next(accuracies))
    found = classification_accuracy(samples, asked_for, Reference(train, test), tmp_path, "cpu")
    figure = found["classification accuracy score"]
    assert figure[:2] == (0.8, 0.9)
    assert figure.error == pytest.approx((0.8 * 0.2 / 50) ** 0.5)
    assert torch.equal(learned["samples"].labels, asked_for)
    assert len(learned["real"]) == 120


@pytest.mark.slow
def test_samples_with_the_wrong_labels_teach_nothing(tmp_path):
    pixels, labels = make_digits(train=True, count=1200)
    train = Dataset("digits", pixels, labels)
    more, of_more = make_digits(train=False, count=300)
    reference = Reference(train, Dataset("digits", more, of_more))
    for shift, low, high in ((0, 0.9, 1.0), (1, 0.0, 0.1)):
        asked_for = (labels[:800] + shift) % 10
        found = classification_accuracy(pixels[:800], asked_for, reference, tmp_path, "cpu")
        figure = found["classification accuracy score"]
        assert low <= figure.samples <= high
        assert figure.real > 0.9


def test_it_is_refused_where_there_are_no_labels(tmp_path):
    succeed("train.py", *"--dataset line --num_points 100 --epochs 1".split(), cwd=tmp_path)
    said = refuse("evaluate.py", "--cas", cwd=tmp_path)
    assert "--cas is for class-conditional models of images only" in said
