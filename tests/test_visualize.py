"""visualize_diffusion.py: what it shows of which data, looked at before it becomes pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from studio import IMAGES, POINTS, dots, picture, write_model

import visualize_diffusion
from datasets import load_images, load_points
from errors import InputError
from plots import GAP


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def visualize(*options):
    visualize_diffusion.main(["--no-gif", *map(str, options)])


def write_ellipse(path, centre=(5000, -2000)):
    angle = np.linspace(0, 2 * np.pi, 400)
    ellipse = np.stack([centre[0] + 300 * np.cos(angle), centre[1] + 100 * np.sin(angle)], axis=1)
    np.savetxt(path, ellipse, delimiter=",", header="x,y", comments="")


# ------------------------------------------------------------- the data and the space of a model


def test_other_data_are_shown_where_they_are_in_the_models_space(figures):
    """Two sets that differ in size and place do so in the picture, too."""
    write_model("m.pt", "--dataset", "moons", *POINTS)
    points = load_points("circle", 300, 0.0, 0).examples
    visualize("--checkpoint", "m.pt", "--dataset", "circle")
    panels = figures["forward_diffusion"].axes
    least_noise = dots(panels[0])[0]
    assert abs(least_noise - points.numpy()).max() < 0.1
    config = torch.load("m.pt", weights_only=True)["config"]
    left, right = panels[0].get_xlim()
    assert (left + right) / 2 == pytest.approx(config["mean"][0], abs=1e-5)
    assert right - left == pytest.approx(2 * 2.9 * config["scale"], rel=1e-5)


def test_data_that_are_nowhere_near_the_models_are_refused():
    write_model("m.pt", "--dataset", "moons", *POINTS)
    write_ellipse("far.csv")
    with pytest.raises(InputError, match=r"no point of far\.csv .*: x from -\d"):
        visualize("--checkpoint", "m.pt", "--dataset", "far.csv")


def shown(figures, *options):
    """The data themselves, which stand behind the arrows."""
    visualize("--checkpoint", "m.pt", "--arrows", *options)
    return dots(figures["arrows"].axes[0])[0]


def test_a_model_is_shown_with_the_data_of_its_run(figures):
    write_ellipse("e.csv")
    run = ("--dataset", "e.csv", "--jitter", 0.05, "--seed", 7, "--subset", 200)
    write_model("m.pt", *run, *POINTS)
    of_run = load_points("e.csv", 300, 0.05, 7).examples[:200]
    assert shown(figures) == pytest.approx(of_run.numpy(), abs=0.01)
    others = {
        ("--seed", 0): load_points("e.csv", 300, 0.05, 0).examples[:200],
        ("--jitter", 0): load_points("e.csv", 300, 0.0, 7).examples[:200],
        ("--num_points", 250): load_points("e.csv", 250, 0.05, 7).examples,
    }
    for given, expected in others.items():
        assert shown(figures, *given) == pytest.approx(expected.numpy(), abs=0.01)


def test_a_model_of_images_is_shown_with_images_of_its_run(figures):
    write_model("m.pt", *IMAGES, "--seed", 4)
    visualize("--checkpoint", "m.pt", "--num_images", 2)
    torch.manual_seed(4)
    expected = load_images("digits", Path("data"), subset=40).examples[torch.randperm(40)[:2]]
    axes = figures["forward_diffusion"].axes[0]
    for row, image in enumerate(expected.numpy()):
        found = picture(axes)[GAP + row * 30 :, GAP:][:28, :28]  # with hardly any noise
        assert abs(found.astype(int) - image).mean() < 4
