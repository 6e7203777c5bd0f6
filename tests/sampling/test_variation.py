"""sampling/variation.py: an image gets noise, and samples keep what is still visible of it."""

import re

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from studio import IMAGES, POINTS, picture, texts_above, title, write_model

import sample
from datasets.units import ImageUnits
from diffusion import Diffusion, make_schedule
from plots.images import GAP
from sampling.settings import SampleSettings
from sampling.trained import Trained
from sampling.variation import timesteps_from, vary
from system.errors import InputError

SHAPE = (1, 8, 8)


def trained(network, schedule="cosine", timesteps=1000):
    """A model of images with that function as its network."""
    diffusion = Diffusion(make_schedule(schedule, timesteps), "x0", value_range=(-1, 1))
    config = {"kind": "images", "label_counts": [], "objective": "denoising"}
    return Trained(None, config, network, diffusion, ImageUnits(SHAPE), None)


def test_the_steps_are_spread_over_the_share_of_the_timesteps():
    schedule = make_schedule("cosine", 1000)
    assert timesteps_from(schedule, 0.6, "ddpm", 3) == [599, 399, 199]
    assert timesteps_from(schedule, 1.0, "ddim", 2) == [999, 499]
    assert timesteps_from(schedule, 0.01, "ddim", None) == list(range(9, -1, -1))  # has 50 else
    assert timesteps_from(schedule, 0.5, "ddpm", None) == list(range(499, -1, -1))
    assert timesteps_from(schedule, 1e-9, "ddpm", None) == [0]
    with pytest.raises(InputError, match=r"--strength 0\.1 there are 100 timesteps, not 101"):
        timesteps_from(schedule, 0.1, "ddim", 101)


@pytest.mark.parametrize("sampler", ["ddim", "consistency"])
@pytest.mark.parametrize("schedule", ["cosine", "log_linear", "flow"])
def test_the_noise_is_that_of_the_first_timestep(schedule, sampler):
    image = torch.full(SHAPE[1:], 255, dtype=torch.uint8)
    seen = []
    settings = SampleSettings(2000, sampler, [400, 100])

    def network(x, t):
        seen.append((t.item(), x))
        return torch.zeros(len(x), *SHAPE)

    vary(trained(network, schedule), settings, image)
    (t, x), (later, _) = seen
    assert (t, later) == (400, 100)
    alpha, sigma = make_schedule(schedule, 1000).at(400)
    size = (alpha**2 + sigma**2) ** 0.5  # the network sees x at variance 1
    assert x.mean().item() * size == pytest.approx(alpha, abs=0.02 * size)
    assert x.std().item() * size == pytest.approx(sigma, rel=0.02)


def test_what_comes_back_is_what_the_network_sees_in_the_noise():
    """By the exact answer for two images the one that was given comes back, if little noise hid it,
    and either, if there is nothing else."""
    two = torch.stack([torch.full(SHAPE, -0.5), torch.full(SHAPE, 0.5)])
    model = trained(None)
    schedule = model.diffusion.schedule

    def network(x, t):
        alpha, sigma = schedule.at(t.item())
        distances = (x[:, None] - alpha * two).flatten(2).square().sum(2)
        weights = torch.softmax(-distances / (2 * sigma**2), dim=1)
        return (weights @ two.flatten(1)).view(-1, *SHAPE)

    given = ImageUnits(SHAPE).to_data(two[:1])[0]
    shares = []
    for strength in (0.2, 1.0):
        steps = timesteps_from(schedule, strength, "ddim", 20)
        settings = SampleSettings(400, "ddim", steps)
        _, made = vary(trained(network), settings, given)
        same = (made.int() - given.int()).abs().flatten(1).amax(1) <= 2
        shares.append(same.float().mean().item())
    assert shares[0] == 1
    assert shares[1] == pytest.approx(0.5, abs=0.08)


def test_the_picture_shows_the_image_its_noise_and_what_became_of_it(
    figures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_model("outputs/model_final.pt", *IMAGES, "--class_conditional")
    scribble = np.zeros((56, 56), dtype=np.uint8)
    scribble[8:48, 24:32] = 255
    iio.imwrite("scribble.png", scribble)
    options = ("--from_image", "scribble.png", "--strength", 0.5, "--num_images", 3, "--steps", 4)
    sample.main(list(map(str, options)))
    axes = figures["from_image"].axes[0]
    assert title(figures["from_image"]) == "From an image (SDEdit, strength 0.5, ddpm, 4 steps)"
    assert texts_above(axes) == ["given", "with noise", "1", "2", "3"]
    shown = picture(axes)
    given = shown[GAP : GAP + 28, GAP : GAP + 28].astype(int)
    assert abs(given - scribble[::2, ::2]).max() <= 1
    noisy = shown[GAP : GAP + 28, 2 * GAP + 28 :][:, :28].astype(int)
    assert 20 < abs(noisy - given).mean() < 130
    sample.main([*map(str, options), "--labels", "3", "--guidance", "2", "--output", "a.npy"])
    assert np.load("a.npy").shape == (3, 28, 28)
    sample.main([*map(str, options), "--labels", "7,4"])
    assert texts_above(figures["from_image"].axes[0]) == ["given", "with noise", "7", "4", "7"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--strength 0.5", "--strength belongs to --from_image"),
        ("--from_image x.png --mask centre", "--mask belongs to --inpaint"),
        ("--from_image x.png --visits 3", "--visits belongs to --inpaint"),
        ("--from_image x.png --interpolate 1 2", "--interpolate cannot go with --from_image"),
        ("--from_image x.png --inpaint 3 --mask centre", "--from_image cannot go with --inpaint"),
        ("--from_image x.png --gif", "--gif are not for from_image"),
        ("--from_image x.png --guidance 2", "--guidance with --from_image needs --labels"),
        ("--from_image x.png --checkpoint images.pt", "x.png cannot be read as a picture"),
        ("--from_image x.png --sampler consistency", "so not --sampler consistency"),
        ("--from_image x.png --batch_size 3", "--batch_size is not for --from_image"),
        ("--from_image x.png --checkpoint few.pt --sampler ddim", "from before tuning"),
        ("--from_image x.png --checkpoint classes.pt", "--from_image needs --labels here"),
        ("--from_image x.png --checkpoint points.pt", "--from_image is for models of images"),
        ("--from_image x.png --checkpoint images.pt --strength 0.01 --steps 99", "there are 10"),
    ],
)
def test_what_does_not_go_is_said_in_a_line(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model("images.pt", *IMAGES)
    write_model("points.pt", "--dataset", "moons", *POINTS)
    write_model("few.pt", "--consistency", "images.pt")
    write_model("classes.pt", *IMAGES, "--class_conditional", "--label_dropout", 0)
    with pytest.raises(InputError, match=re.escape(says)):
        sample.main(options.split())


@pytest.mark.parametrize("strength", ["0", "1.1", "-1", "nan", "much"])
def test_the_strength_is_a_share(strength, capsys):
    with pytest.raises(SystemExit) as stopped:
        sample.main(["--from_image", "x.png", f"--strength={strength}"])
    assert stopped.value.code == 2
    assert "argument --strength: " in capsys.readouterr().err
