"""The scripts with the user's own pictures, from a folder to samples."""

import base64
import json
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from albums import pack, paint, write_album
from scripts import refuse, succeed
from studio import write_model

import sample
import visualize_diffusion
from checkpoints import load_checkpoint
from datasets import load_images
from datasets.settings import ImageSettings
from sampling.given import find_image
from system.errors import InputError

CLASSES = ("salt, pepper", "été", "7")
SMALL = "--base_channels 8 --image_size 16 --device cpu".split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the pictures of three classes, in which the scripts run, and a model."""
    monkeypatch.chdir(tmp_path)
    write_album(tmp_path / "album", 10, CLASSES)
    write_model("model.pt", "--dataset", "album", *SMALL, "--class_conditional")
    checkpoint = load_checkpoint(tmp_path / "model.pt")
    generator = torch.Generator().manual_seed(0)
    for weights in (checkpoint["model"], checkpoint["ema"]):  # new ones answer zero
        for weight in weights.values():
            if weight.is_floating_point():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    torch.save(checkpoint, tmp_path / "model.pt")
    return tmp_path


def in_process(script, *options):
    script.main(list(map(str, options)))


def sampled(*options):
    more = ("--checkpoint", "model.pt", "--steps", 2, "--device", "cpu", "--output", "out.npy")
    in_process(sample, *more, *options)
    return np.load("out.npy")


def test_from_a_folder_to_samples_by_the_names_of_its_classes(tmp_path):
    write_album(tmp_path / "album", 12, CLASSES)
    (tmp_path / "album" / "7" / "bad.png").write_bytes(b"none")
    options = ("--dataset", "album", "--base_channels", 8, "--image_size", 16, "--epochs", 1)
    more = ("--class_conditional", "--flip", "--num_samples", 4, "--batch_size", 8)
    out = succeed("train.py", *options, *more, cwd=tmp_path)
    assert out.splitlines()[0] == (
        "1 of 37 pictures in album cannot be read: 7/bad.png (it is not a picture)"
    )
    config = json.loads((tmp_path / "outputs" / "config.json").read_text())
    assert config["class_names"] == sorted(CLASSES)
    assert sum(config["label_counts"]) == 32  # of 36; a tenth is held out
    assert (config["shape"], config["holdout"], config["flip"]) == ([3, 16, 16], 0.1, True)
    shutil.rmtree(tmp_path / "album")  # the checkpoint is all that is needed
    options = ("--steps", 2, "--num_images", 4, "--output", "out.npy")
    succeed("sample.py", *options, "--labels", '"salt, pepper",été', cwd=tmp_path)
    named = np.load(tmp_path / "out.npy")
    assert named.shape == (4, 16, 16, 3)
    succeed("sample.py", *options, "--labels", "1-2", cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "out.npy"), named)
    succeed("sample.py", *options, "--labels", "7", cwd=tmp_path)
    assert not np.array_equal(np.load(tmp_path / "out.npy"), named)
    says = refuse("sample.py", *options, "--labels", "salt", cwd=tmp_path)
    assert "no class 'salt'" in says
    assert "album does not exist" in refuse(
        "sample.py", "--inpaint", 0, "--mask", "centre", cwd=tmp_path
    )
    assert "no such folder" in refuse("train.py", "--resume", "--epochs", 2, cwd=tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "album has no pictures"),
        ({f"{k}.png": b"x" for k in range(9)}, "has only 9 pictures"),
        ({f"{k}.png": b"x" for k in range(12)}, "12 of 12 pictures in album cannot be read"),
    ],
)
def test_folders_that_cannot_be_learned_from_are_refused(content, says, tmp_path):
    (tmp_path / "album").mkdir()
    for name, text in content.items():
        (tmp_path / "album" / name).write_bytes(text)
    assert says in refuse("train.py", "--dataset", "album", cwd=tmp_path)
    assert not (tmp_path / "outputs" / "config.json").exists()


def test_a_class_is_a_name_before_it_is_a_number(place):
    found = sampled("--labels", "7", "--num_images", 2)
    assert np.array_equal(found, sampled("--labels", "0", "--num_images", 2))
    assert not np.array_equal(found, sampled("--labels", "1", "--num_images", 2))
    assert load_checkpoint(place / "model.pt")["config"]["class_names"] == sorted(CLASSES)


def test_a_folder_and_what_is_made_of_it_give_the_same_model(place):
    pack(place / "album", place / "album.zip")
    write_model("packed.pt", "--dataset", "album.zip", *SMALL, "--class_conditional")
    one, other = (load_checkpoint(place / name)["config"] for name in ("model.pt", "packed.pt"))
    differ = {name for name in one if one[name] != other[name]}
    assert differ <= {"dataset"}


def test_a_checkpoint_of_a_folder_that_is_gone_still_samples(place):
    before = sampled("--num_images", 3)
    (place / "album").rename(place / "elsewhere")
    shutil.rmtree(place / "data")
    assert np.array_equal(sampled("--num_images", 3), before)
    with pytest.raises(InputError, match="album does not exist"):
        in_process(visualize_diffusion, "--checkpoint", "model.pt", "--no-gif")
    # What is made of pictures elsewhere is shown as the model sees them.
    in_process(
        *(visualize_diffusion, "--checkpoint", "model.pt", "--no-gif"),
        *("--dataset", "elsewhere", "--save_path", "there.png", "--num_images", 2),
    )
    assert iio.imread("there.png").ndim == 3


def test_held_out_pictures_are_inpainted_by_number(place):
    config = load_checkpoint(place / "model.pt")["config"]
    settings = ImageSettings(image_size=16)
    held = load_images("album", place / "data", train=False, settings=settings)
    learned = load_images("album", place / "data", settings=settings)
    assert (len(held), len(learned)) == (3, 27)
    for number, image in enumerate(held.examples):
        assert torch.equal(find_image(str(number), config, place / "data"), image)
    with pytest.raises(InputError, match="the test images of album are 0-2; there is no 3"):
        find_image("3", config, place / "data")
    found = sampled("--inpaint", 1, "--mask", "left_half", "--visits", 1, "--num_images", 2)
    assert np.array_equal(found[:, :, 8:], np.stack([held.examples[1][:, 8:]] * 2))
    assert not np.array_equal(found[0, :, :8], held.examples[1][:, :8])


def test_a_folder_on_its_way_to_noise(place, figures):
    in_process(
        *(visualize_diffusion, "--dataset", "album", "--image_size", 16, "--channels", 1),
        *("--timesteps", 20, "--num_images", 3, "--no-gif"),
    )
    assert list(figures) == ["forward_diffusion"]
    assert "album" in figures["forward_diffusion"].get_suptitle()
    in_process(visualize_diffusion, "--dataset", "album", "--compare_schedules")
    assert "schedules" in figures


def page_of(*options):
    """The data in the page of --html."""
    more = ("--checkpoint", "model.pt", "--html", "page.html")
    in_process(visualize_diffusion, *more, *options)
    text = Path("page.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_of_a_folder(place):
    page = page_of("--num_images", 2)
    images = page["images"]
    assert (page["kind"], images["count"]) == ("images", 2)
    assert (images["channels"], images["height"], images["width"]) == (3, 16, 16)
    learned = load_images("album", place / "data", settings=ImageSettings(image_size=16)).examples
    shown = np.frombuffer(base64.b64decode(images["pixels"]), np.uint8).reshape(2, 3, 16, 16)
    shown = shown.transpose(0, 2, 3, 1)
    assert all((image == learned.numpy()).all((1, 2, 3)).any() for image in shown)


def test_classes_that_the_model_does_not_know_have_no_page(place):
    write_album(place / "other", 10, tuple("abcdefgh"))
    with pytest.raises(InputError, match="other has classes that the model does not know"):
        page_of("--dataset", "other")
    in_process(*(visualize_diffusion, "--checkpoint", "model.pt", "--dataset", "other", "--no-gif"))


def test_transparency_of_a_run_is_that_of_its_inpainted_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_album(tmp_path / "album", 12, bands=4)
    config = write_model("model.pt", "--dataset", "album", *SMALL, "--background", "#ff0000")
    clear = paint(0, 16, 16, bands=4)
    clear.putalpha(0)
    clear.save("clear.png")
    assert find_image("clear.png", config, tmp_path).float().mean((0, 1)).tolist() == [255, 0, 0]
    seen = load_images("album", tmp_path / "data", settings=ImageSettings.of_run(config))
    other = load_images("album", tmp_path / "data", settings=ImageSettings(image_size=16))
    assert not torch.equal(seen.examples, other.examples)


def test_built_in_sets_in_other_sizes_and_channels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data, channels, shape in (("digits", 3, [3, 32, 32]), ("sprites", 1, [1, 32, 32])):
        options = ("--dataset", data, "--channels", channels, "--image_size", 32, "--subset", 20)
        config = write_model("model.pt", *options, "--base_channels", 8, "--device", "cpu")
        assert config["shape"] == shape
        made = sampled("--num_images", 2)
        assert made.shape == ((2, 32, 32, 3) if channels == 3 else (2, 32, 32))
        in_process(
            *(visualize_diffusion, "--checkpoint", "model.pt", "--no-gif", "--num_images", 2),
            *("--save_path", f"{data}.png"),
        )
        assert (tmp_path / f"{data}.png").exists()


def test_a_configuration_is_the_same_run(place):
    config = write_model("a.pt", "--dataset", "album", *SMALL, "--background", "rgb(1, 2, 3)")
    (place / "config.json").write_text(json.dumps(config))
    again = write_model("b.pt", "--config", "config.json")
    assert {name: x for name, x in again.items() if x != config[name]} == {}
