"""The built-in digits, what a dataset says about itself, IDX files, and which dataset runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import datasets.downloads
import datasets.mnist
from datasets import (
    IMAGES,
    Dataset,
    DatasetUnavailable,
    load_dataset,
    load_images,
    load_points,
)
from datasets.digits import BLOCK, FONTS, glyphs, make_digits
from datasets.settings import PointSettings
from datasets.units import ImageUnits, make_units, to_pixels, to_unit
from names import datasets_of
from system.errors import InputError

# ------------------------------------------------------------------------------------- digits


def test_digits_are_the_same_every_time_and_a_subset_is_a_prefix():
    pixels, labels = make_digits(train=True, count=BLOCK + 5)
    again, again_labels = make_digits(train=True, count=10)
    assert pixels.shape == (BLOCK + 5, 28, 28)
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels[:10], again)
    assert torch.equal(labels[:10], again_labels)


def test_splits_differ_and_have_every_digit():
    train, train_labels = make_digits(train=True, count=2000)
    test, test_labels = make_digits(train=False, count=2000)
    assert not torch.equal(train, test)
    for labels in (train_labels, test_labels):
        assert labels.bincount(minlength=10).min() > 130  # 200 expected, standard deviation 13


def test_splits_have_the_sizes_of_mnist():
    pixels, labels = make_digits(train=False, count=None)
    assert len(pixels) == len(labels) == 10_000
    assert len(make_digits(train=False, count=20_000)[0]) == 10_000


def test_digits_are_white_ink_on_black_inside_the_frame():
    pixels, _ = make_digits(train=True, count=BLOCK)
    images = pixels.float() / 255
    assert images.amax((1, 2)).min() > 0.8  # every image has a clear stroke
    assert (images < 0.05).float().mean() > 0.5
    assert images[:, [0, -1]].mean() < 0.02  # hardly any ink on the border
    assert images[:, :, [0, -1]].mean() < 0.02


def test_every_font_draws_ten_different_digits():
    flat = glyphs().transpose(0, 1).flatten(2)
    assert flat.shape[:2] == (len(FONTS), 10)
    for font in flat:
        assert torch.cdist(font, font).add(1e9 * torch.eye(10)).min() > 1


@pytest.mark.parametrize(
    ("train_count", "epochs"), [(12_000, 4), pytest.param(None, 3, marks=pytest.mark.slow)]
)
def test_a_small_classifier_reads_digits_almost_always(train_count, epochs):
    """Legible (97 % or more of unseen ones are read), but not all alike (99.9 % at most)."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    pixels, labels = make_digits(train=True, count=train_count)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            loss = F.cross_entropy(net(to_unit(pixels[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pixels, labels = make_digits(train=False)
    with torch.no_grad():
        accuracy = (net(to_unit(pixels)).argmax(1) == labels).float().mean().item()
    print(f"accuracy {accuracy:.4f}")
    assert 0.97 <= accuracy <= 0.999


def test_unit_and_pixels_are_inverse():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    x = to_unit(pixels)
    assert (x.min().item(), x.max().item(), x.shape) == (-1, 1, (1, 1, 16, 16))
    assert torch.equal(to_pixels(x), pixels)
    assert to_pixels(torch.tensor([-3.0, 3.0]).view(1, 1, 1, 2)).flatten().tolist() == [0, 255]


def test_colour_images_have_their_channels_first():
    pixels = torch.randint(256, (5, 6, 8, 3), dtype=torch.uint8)
    units = ImageUnits((3, 6, 8))
    x = units.to_model(pixels)
    assert x.shape == (5, *units.shape)
    assert x.is_contiguous()
    assert x[4, 2, 1, 7].item() == pytest.approx(pixels[4, 1, 7, 2].item() / 127.5 - 1)
    assert torch.equal(units.to_data(x), pixels)


# ------------------------------------------------------------------------- what a data set says


@pytest.mark.parametrize(
    ("examples", "kind", "shape", "value_range"),
    [
        (torch.zeros(4, 6, 8, dtype=torch.uint8), "images", (1, 6, 8), [-1.0, 1.0]),
        (torch.zeros(4, 6, 8, 3, dtype=torch.uint8), "images", (3, 6, 8), [-1.0, 1.0]),
        (torch.rand(4, 2), "points", (2,), None),
    ],
    ids="grey colour points".split(),
)
def test_a_dataset_knows_its_shape(examples, kind, shape, value_range):
    data = Dataset("mine", examples, torch.tensor([0, 2, 2, 1]), ("a", "b", "c"))
    assert (data.kind, data.shape, data.classes) == (kind, shape, 3)
    facts = data.facts()
    assert (facts["kind"], facts["shape"]) == (kind, list(shape))
    assert (facts["value_range"], facts["class_names"]) == (value_range, ["a", "b", "c"])
    assert json.loads(json.dumps(facts)) == facts
    assert type(make_units(facts)) is type(data.units())
    assert torch.equal(make_units(facts).to_model(examples), data.units().to_model(examples))


def test_classes_are_counted_by_names_or_else_by_labels():
    pixels, labels = torch.zeros(2, 4, 4, dtype=torch.uint8), torch.tensor([0, 3])
    assert Dataset("mine", pixels, labels).classes == 4
    assert Dataset("mine", pixels, labels, tuple("abcdef")).classes == 6


def test_the_tables_hold_what_can_be_named():
    assert tuple(IMAGES) == datasets_of("images")
    digits = load_dataset("digits", Path(), 3, PointSettings(0))
    assert (digits.shape, digits.class_names) == (IMAGES["digits"].shape, tuple("0123456789"))
    moons = load_dataset("moons", Path(), 20, PointSettings(50))
    assert moons.examples.shape == (20, 2)
    assert torch.equal(moons.examples, load_points("moons", 50, 0.0, 0).examples[:20])


# ---------------------------------------------------------------------------------- IDX files


def write_mnist(folder: Path, count: int = 5) -> tuple[Path, Path, torch.Tensor]:
    """A small dataset in MNIST's layout, its two training files and its pixels."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    torch.manual_seed(0)
    pixels = torch.randint(256, (count, 28, 28), dtype=torch.uint8)
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    header = b"".join(n.to_bytes(4, "big") for n in (0x803, count, 28, 28))
    images.write_bytes(header + pixels.numpy().tobytes())
    labels.write_bytes(
        b"".join(n.to_bytes(4, "big") for n in (0x801, count)) + bytes(k % 10 for k in range(count))
    )
    return images, labels, pixels


def test_idx_files_are_read(tmp_path):
    _, _, pixels = write_mnist(tmp_path)
    data = load_images("mnist", tmp_path)
    assert torch.equal(data.examples, pixels)
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.labels.dtype == torch.int64
    assert len(load_images("mnist", tmp_path, subset=2)) == 2
    assert load_images(None, tmp_path).name == "mnist"


def test_torchvision_reads_the_same(tmp_path):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    images, labels, _ = write_mnist(tmp_path)
    data = load_images("mnist", tmp_path)
    assert torch.equal(data.examples, read_image_file(str(images)))
    assert torch.equal(data.labels, read_label_file(str(labels)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda images, labels: images.write_bytes(images.read_bytes()[:-1]), "is damaged"),
        (lambda images, labels: images.write_bytes(b""), "too short"),
        (lambda images, labels: labels.write_bytes(b"\x00\x00"), "too short"),
        (lambda images, labels: images.write_bytes(b"<html>none</html>"), "not the expected IDX"),
        (lambda images, labels: labels.write_bytes(images.read_bytes()), "not the expected IDX"),
        (
            lambda images, labels: labels.write_bytes(b"\0\0\x08\x01\0\0\0\x03\1\2\3"),
            "3 labels for 5 images",
        ),
        (
            lambda images, labels: images.write_bytes(b"\0\0\x08\x03" + b"\0\0\0\2" * 3 + b"x" * 8),
            r"images of \(2, 2\) pixels",
        ),
        (
            lambda images, labels: images.write_bytes(b"\0\0\x08\x03\0\0\0\0" + b"\0\0\0\x1c" * 2),
            "is empty",
        ),
    ],
    ids="truncated empty short html swapped fewer-labels other-size no-images".split(),
)
def test_damaged_files_are_refused_by_name(tmp_path, damage, says):
    images, labels, _ = write_mnist(tmp_path)
    damage(images, labels)
    with pytest.raises(InputError, match=says) as caught:
        load_images("mnist", tmp_path)
    assert not isinstance(caught.value, DatasetUnavailable)
    assert "idx" in str(caught.value)


# ---------------------------------------------------------------------- which dataset runs


def no_network(name: str, data_dir: Path) -> None:
    raise DatasetUnavailable(f"{name} cannot be downloaded")


def test_without_a_name_digits_stand_in_for_mnist(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets.mnist, "download", no_network)
    assert load_images(None, tmp_path, subset=3).name == "digits"
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_damaged_mnist_is_not_replaced_by_digits(tmp_path):
    images, _, _ = write_mnist(tmp_path)
    images.write_bytes(b"")
    with pytest.raises(InputError, match="too short"):
        load_images(None, tmp_path)


def test_a_named_dataset_that_cannot_be_had_is_an_error_with_the_ways_out(tmp_path, monkeypatch):
    pretend_to_download("raise SystemExit(1)", monkeypatch)
    with pytest.raises(DatasetUnavailable) as caught:
        load_images("fashion_mnist", tmp_path)
    for way_out in ("FashionMNIST", "--data_dir", "--dataset digits"):
        assert way_out in str(caught.value)


def pretend_to_download(code: str, monkeypatch) -> None:
    """Let a download run this instead of torchvision."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda command, **options: popen([sys.executable, "-c", code], **options),
    )


def test_a_download_that_fails_says_why(tmp_path, monkeypatch, capsys):
    """As with torch and torchvision of different releases."""
    error = "operator torchvision::nms does not exist"
    pretend_to_download(f"print('9%', end='\\r'); raise RuntimeError({error!r})", monkeypatch)
    with pytest.raises(DatasetUnavailable, match=rf"downloaded \(RuntimeError: {error}\)"):
        load_images("mnist", tmp_path)
    capsys.readouterr()
    assert load_images(None, tmp_path, subset=3).name == "digits"
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2  # that it downloads, and what came of it
    assert f"(RuntimeError: {error}); using the built-in digits" in said[1]


def test_a_download_that_is_silent_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 0.5)
    pretend_to_download("import time; time.sleep(60)", monkeypatch)
    with pytest.raises(DatasetUnavailable, match=r"nothing arrived for 0\.5 seconds"):
        load_images("mnist", tmp_path)
