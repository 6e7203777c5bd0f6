"""evaluate.py as a person runs it, and the classifier it compares images with."""

import json
import re
import struct

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import assert_picture, refuse, succeed
from studio import picture, texts_above, title, write_model

import cli.options
import evaluate
import evaluation.classifier
import evaluation.images
from datasets import Dataset, load_images
from datasets.digits import make_digits
from diffusion import make_schedule
from evaluation.classifier import (
    Classifier,
    Training,
    augment,
    cache_path,
    classify,
    load_classifier,
    train_classifier,
)
from evaluation.images import Reference, draw_extremes, evaluate_images, load_reference
from names import FIGURES
from plots.images import GAP
from sampling import SampleSettings
from system.distributed import Group
from system.errors import InputError


def write_small_mnist(folder, training: int = 600) -> None:
    """So many training and 300 test images in MNIST's format, of built-in digits."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", training), ("t10k", 300)):
        pixels, labels = make_digits(train=split == "train", count=count)
        header = struct.pack(">IIII", 0x0803, count, 28, 28)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.numpy().tobytes())
        header = struct.pack(">II", 0x0801, count)
        labels = labels.numpy().astype(np.uint8)
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


def test_evaluating_images(tmp_path):
    write_small_mnist(tmp_path / "data")
    train = "--dataset mnist --epochs 1 --batch_size 64 --base_channels 8 --num_samples 4"
    succeed("train.py", *train.split(), cwd=tmp_path)
    options = "--num_samples 100 --sampler ddim --steps 2".split()
    out = succeed("evaluate.py", *options, cwd=tmp_path)
    assert 0 < out.index("training a classifier of mnist") < out.index("100 images, ddim, 2 steps")
    assert "FID is too high" in out
    assert "real data: 100 images that the classifier has not seen\n" in out
    assert_picture(tmp_path / "outputs" / "evaluation.png")
    figures = json.loads((tmp_path / "outputs" / "evaluation.json").read_text())["figures"]
    assert figures["FID"]["samples"] > 3 * figures["FID"]["real"] > 0  # hardly trained
    assert figures["precision"]["samples"] < figures["precision"]["real"]
    assert all(np.isfinite(figure["samples"]) for figure in figures.values())
    assert 0 < figures["bits per dimension of unseen images, at most"]["samples"] < 20
    assert_picture(tmp_path / "outputs" / "evaluation_bits.png")
    # A second time the classifier comes from the cache, and the figures are the same.
    cached = list((tmp_path / "data" / "classifiers").iterdir())
    assert len(cached) == 1
    succeed("evaluate.py", *options, "--json", "again/figures.json", cwd=tmp_path)
    again = json.loads((tmp_path / "again" / "figures.json").read_text())["figures"]
    assert again == figures


@pytest.mark.slow
def test_classes_that_were_asked_for_are_counted(tmp_path):
    write_small_mnist(tmp_path / "data", training=1200)  # the classifier has to learn something
    train = "--dataset mnist --epochs 1 --batch_size 64 --base_channels 8 --num_samples 4"
    succeed("train.py", *train.split(), "--class_conditional", cwd=tmp_path)
    options = ("--num_samples", 250, "--sampler", "ddim", "--steps", 2)
    assert "200 images that the classifier has not seen, fewer" in succeed(
        "evaluate.py", *options, cwd=tmp_path
    )
    figures = json.loads((tmp_path / "outputs" / "evaluation.json").read_text())["figures"]
    right = figures["share of the class asked for"]
    assert 0 <= right["samples"] < right["real"] - 0.15  # hardly trained, both


def test_evaluating_points(tmp_path):
    train = "--dataset line --num_points 500 --epochs 2 --sample_interval 2"
    succeed("train.py", *train.split(), cwd=tmp_path)
    options = ("--num_samples", 500, "--steps", 10, "--eta", 0.5)
    out = succeed("evaluate.py", *options, cwd=tmp_path)
    assert "energy distance" in out
    assert "dpmpp, 10 steps, eta 0.5, seed 0" in out
    assert_picture(tmp_path / "outputs" / "evaluation.png")
    figures = json.loads((tmp_path / "outputs" / "evaluation.json").read_text())["figures"]
    assert figures["energy distance"]["samples"] > 5 * figures["energy distance"]["real"]
    assert figures["share of samples off the data"]["samples"] > 0.3


@pytest.mark.parametrize(
    ("options", "config", "expected"),
    [
        ("", {}, "dpmpp, 50 steps, eta 1"),
        ("--steps 100", {}, "dpmpp, 100 steps, eta 1"),
        ("--eta 0", {}, "dpmpp, 50 steps"),
        ("", {"timesteps": 30}, "dpmpp, 30 steps, eta 1"),
        ("--sampler dpmpp", {}, "dpmpp, 20 steps"),
        ("--sampler ddpm", {}, "ddpm, 200 steps"),
        ("", {"kind": "images"}, "dpmpp, 20 steps"),
        ("--sampler ddim --momentum 2", {"kind": "images"}, "ddim, 50 steps"),
        ("", {"objective": "shortcut"}, "shortcut, 2 steps"),
    ],
)
def test_samples_are_made_as_suits_the_data_unless_a_sampler_is_named(options, config, expected):
    config = {"kind": "points", "objective": "denoising", "timesteps": 200} | config
    args = evaluate.parse_arguments(options.split())
    cli.options.suit_objective(args, config)
    cli.options.follow_plan(args, FIGURES, config)
    settings = SampleSettings(sampler=args.sampler, steps=args.timesteps, eta=args.eta)
    steps = len(settings.timesteps(make_schedule("cosine", config["timesteps"])))
    assert cli.options.made_by(args, steps) == f"{expected}, seed 0"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--num_samples 5", "100 to 1000000"),
        ("--json figures.txt", "must end in .json"),
        ("--momentum 2", "applies to --sampler ddim only"),
        ("--sampler ddpm --eta 0.5", "applies to --sampler ddim and dpmpp only"),
        ("", "python train.py"),
    ],
)
def test_bad_options_are_refused(options, says, tmp_path):
    assert says in refuse("evaluate.py", *options.split(), cwd=tmp_path)


@pytest.mark.slow
def test_the_classifier_is_the_same_every_time_and_cached_by_its_data(tmp_path, capsys):
    pixels, labels = make_digits(train=True, count=400)
    data, other = Dataset("digits", pixels, labels), Dataset("digits", pixels, labels.flip(0))
    first = load_classifier(data, tmp_path)
    kept = cache_path(data, tmp_path)
    from_cache = load_classifier(data, tmp_path)
    kept.write_bytes(kept.read_bytes()[:1000])
    trained_again = load_classifier(data, tmp_path)
    assert "is damaged" in capsys.readouterr().out
    for model in (from_cache, trained_again):
        for one, two in zip(first.state_dict().values(), model.state_dict().values(), strict=True):
            assert torch.equal(one, two)
    assert cache_path(other, tmp_path) != kept


def test_the_training_of_a_classifier_goes_on_where_it_was_interrupted(
    tmp_path, capsys, monkeypatch
):
    pixels, labels = make_digits(train=True, count=256)
    data = Dataset("digits", pixels, labels)
    monkeypatch.setattr(evaluation.classifier, "MOST_EPOCHS", 7)
    whole = train_classifier(data)
    path = cache_path(data, tmp_path)
    save, saved = Training.save, []

    def interrupted(self, file):
        save(self, file)
        saved.append(file)
        if len(saved) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_classifier(data, tmp_path)
    assert not path.exists()
    assert saved[-1].exists()
    resumed = load_classifier(data, tmp_path)
    assert len(saved) == 7  # three before the interruption, and the four that were left
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    for one, two in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    said = capsys.readouterr().out
    assert f"training a classifier of digits on {len(data)} images" in said


def test_a_damaged_unfinished_classifier_is_trained_from_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation.classifier, "MOST_EPOCHS", 7)
    pixels, labels = make_digits(train=True, count=128)
    data = Dataset("digits", pixels, labels)
    broken = tmp_path / "broken"
    broken.write_bytes(b"not a checkpoint")
    first, second = train_classifier(data), train_classifier(data, unfinished=broken)
    for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_without_a_terminal_the_classifier_says_how_far_it_is(monkeypatch, capsys):
    pixels, labels = make_digits(train=True, count=128)
    data = Dataset("digits", pixels, labels)
    monkeypatch.setattr(evaluation.classifier, "SAY_EVERY", 0)
    monkeypatch.setattr(evaluation.classifier, "MOST_EPOCHS", 7)
    train_classifier(data, name="it")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6  # the last epoch has nothing left to say
    assert re.fullmatch(r"it: epoch 1 of 7, \d+ s to go", lines[0])


def test_where_it_cannot_be_kept_no_classifier_is_trained(tmp_path, monkeypatch):
    (tmp_path / "classifiers").write_text("a file where the folder should be")
    monkeypatch.setattr(evaluation.classifier, "train_classifier", None)
    pixels, labels = make_digits(train=True, count=128)
    with pytest.raises(InputError, match="cannot write into"):
        load_classifier(Dataset("digits", pixels, labels), tmp_path)


def test_the_classifier_has_not_seen_the_real_images_that_it_judges(tmp_path, monkeypatch):
    """What it is trained on, and what is compared with the test split, have no image in common."""
    write_small_mnist(tmp_path)
    trained_on, judged = [], []

    def load(data, *where):
        trained_on.append(data.examples)
        return None

    def judge(model, pixels, device):
        judged.append(pixels)
        return pixels.flatten(1)[:, ::28].float(), torch.rand(len(pixels), 10)

    monkeypatch.setattr(evaluation.images, "load_classifier", load)
    monkeypatch.setattr(evaluation.images, "classify", judge)
    samples = load_images("mnist", tmp_path, train=False).examples[:80]
    config = {"dataset": "mnist", "shape": [1, 28, 28], "class_names": list("0123456789")}
    config["subset"] = None
    data = load_reference(config, tmp_path, "classifier", "cpu")
    figures = evaluate_images(samples, data, tmp_path, tmp_path / "picture.png", "cpu")
    seen, real = (
        {image.numpy().tobytes() for image in images} for images in (trained_on[0], judged[-1])
    )
    assert len(seen) == 500
    assert len(real) == len(samples)
    assert not seen & real
    assert all(np.isfinite(pair).all() for pair in figures.values())


def test_copies_are_told_from_new_images_by_their_distance_to_what_was_learned_from(
    tmp_path, monkeypatch
):
    """Not to other training images, which the model of a subset has never seen."""
    train, test = (load_images("digits", tmp_path, part, 200) for part in (True, False))

    def judge(model, pixels, device):
        return pixels[:, :, 14].float(), torch.rand(len(pixels), 10)

    monkeypatch.setattr(evaluation.images, "load_classifier", lambda *_: None)
    monkeypatch.setattr(evaluation.images, "classify", judge)
    reference = Reference(train, test, seen=100)
    name = "median distance to a training image"
    where = (tmp_path, tmp_path / "picture.png", torch.device("cpu"))
    copies, new = (
        evaluate_images(samples, reference, *where)[name]
        for samples in (train.examples[:100], train.examples[100:])
    )
    assert copies[0] == 0
    assert new[0] == pytest.approx(copies[1], rel=0.3)  # the distance of test images
    assert new[0] > 1


@pytest.mark.parametrize("side", [17, 33])
def test_images_with_odd_sides_are_classified(side):
    pixels = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8)
    features, probabilities = classify(Classifier(3, 5).eval(), pixels, "cpu")
    assert (features.shape, probabilities.shape) == ((3, 128), (3, 5))
    edge = torch.cat([pixels, pixels[:, -1:]], 1)
    padded = torch.cat([edge, edge[:, :, -1:]], 2)
    model = Classifier(3, 5).eval()
    assert torch.equal(classify(model, pixels, "cpu")[0], classify(model, padded, "cpu")[0])


def test_what_is_too_small_to_compare_with_is_refused_before_any_work(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 2
    np.savez(
        tmp_path / "few.npz", images=rng.integers(0, 256, (30, 16, 16), np.uint8), labels=labels
    )
    config = {"dataset": str(tmp_path / "few.npz"), "shape": [1, 16, 16], "subset": None}
    config |= {"class_names": ["0", "1"], "background": "white", "holdout": 0.1, "flip": False}
    with pytest.raises(InputError, match="27 images to learn from and 3 held out; 24 and 4 are"):
        load_reference(config, tmp_path, "classifier", "cpu")
    reference = load_reference({**config, "holdout": 0.2}, tmp_path, "classifier", "cpu")
    assert (len(reference.train), len(reference.test)) == (24, 6)


def test_classify_gives_features_and_probabilities():
    features, probabilities = classify(Classifier(1, 10).eval(), make_digits(True, 7)[0], "cpu")
    assert features.shape == (7, 128)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7))


def test_augmenting_moves_or_mirrors():
    x = torch.full((8, 1, 28, 28), -1.0)
    x[:, :, 10, 5] = 1.0
    generator = torch.Generator().manual_seed(0)
    moved = [augment(x, False, generator) for _ in range(40)]
    spots = [(image[0, 0] == 1).nonzero()[0].tolist() for image in moved]
    assert {row for row, _ in spots} == {8, 9, 10, 11, 12}
    assert {column for _, column in spots} == {3, 4, 5, 6, 7}
    mirrored = augment(x, True, generator)
    assert {(image[0] == 1).nonzero()[0].tolist()[1] for image in mirrored} == {5, 22}


def test_colour_images_of_another_size_are_classified_and_augmented():
    pixels = torch.randint(256, (7, 32, 24, 3), dtype=torch.uint8)
    data = Dataset("pictures", pixels.repeat(40, 1, 1, 1), torch.arange(280) % 4)
    model = train_classifier(data)
    features, probabilities = classify(model, pixels, "cpu")
    assert (features.shape, probabilities.shape) == ((7, 128), (7, 4))
    x = torch.zeros(3, 3, 32, 24)
    x[:, :, 10, 5] = torch.tensor([0.25, 0.5, 0.75])
    moved = augment(x, False, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape
    for image in moved:  # its channels move together
        row, column = (image[0] == 0.25).nonzero()[0]
        assert image[:, row, column].tolist() == [0.25, 0.5, 0.75]


@pytest.mark.slow
def test_the_classifier_reads_digits(tmp_path):
    data = load_images("digits", tmp_path)
    test = load_images("digits", tmp_path, train=False)
    _, probabilities = classify(load_classifier(data, tmp_path), test.examples, "cpu")
    assert (probabilities.argmax(1) == test.labels).float().mean() > 0.994


def test_the_picture_shows_the_most_typical_samples_above_the_least(figures, tmp_path):
    samples = torch.arange(30, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 28, 28)
    distance = (torch.arange(30) * 7 % 30).float()  # a permutation
    draw_extremes(samples, distance, tmp_path / "e.png")
    axes = figures["e"].axes[0]
    count = len(texts_above(axes))
    cells = picture(axes)[GAP:, GAP:].reshape(2, 28 + GAP, count, 28 + GAP)[:, 0, :, 0]
    by_distance = distance.argsort().tolist()
    assert cells[0].tolist() == by_distance[:count]
    assert cells[1].tolist() == by_distance[-count:][::-1]
    assert title(figures["e"]).startswith("Samples nearest to real images (above)")


def test_the_drawing_that_is_compared_with_is_not_overwritten(tmp_path, monkeypatch):
    """evaluate.py draws a picture beside its figures, which must not be where the data are."""
    monkeypatch.chdir(tmp_path)
    ink = np.full((20, 20), 255, dtype=np.uint8)
    ink[5:15] = 0
    iio.imwrite("draw.png", ink)
    write_model("model.pt", "--dataset", "draw.png", "--num_points", 50, "--hidden_size", 4)
    before = (tmp_path / "draw.png").read_bytes()
    for figures, says in (("draw.json", "would be overwritten"), ("other.json", "is a folder")):
        (tmp_path / "other.png").mkdir(exist_ok=True)
        args = evaluate.parse_arguments(["--checkpoint", "model.pt", "--json", figures])
        with pytest.raises(InputError, match=says):
            evaluate.evaluate(args, torch.device("cpu"), Group())
    assert (tmp_path / "draw.png").read_bytes() == before
