"""Inpainting: the mathematics, and `sample.py --inpaint` as a user runs it."""

import math

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import assert_picture, succeed

from diffusion import make_schedule
from samplers import exact_denoiser, final, repaint, trailing_timesteps
from sampling.given import find_image, read_image
from sampling.inpainting import MASKS, find_hole
from system.errors import InputError

CORRELATION, KNOWN = 0.9, 1.2
SHAPE = (1, 28, 28)


def gaussian_denoiser(schedule, correlation):
    """The best denoiser for normal data with variances 1 and this correlation."""
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)

    def denoise(x, t):
        alpha, sigma = schedule.at(t)
        of_x = alpha**2 * covariance + sigma**2 * torch.eye(2, dtype=torch.float64)
        x0 = x @ torch.linalg.solve(of_x, alpha * covariance)
        return x0, (x - alpha * x0) / sigma

    return denoise


def filled(schedule_name, steps, visits, count=4000):
    """The second coordinate, sampled by RePaint given the first, which is `KNOWN`."""
    torch.manual_seed(0)
    schedule = make_schedule(schedule_name, 1000)
    samples = final(
        repaint(
            gaussian_denoiser(schedule, CORRELATION),
            torch.randn(count, 2, dtype=torch.float64),
            schedule,
            trailing_timesteps(1000, steps),
            torch.tensor([KNOWN, 777.0], dtype=torch.float64),
            torch.tensor([False, True]),
            visits,
        )
    )
    assert bool((samples[:, 0] == KNOWN).all())
    return samples[:, 1]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "flow"])
def test_holes_are_filled_with_what_belongs_there(schedule):
    """For normal data the answer is known: mean rho x, variance 1 - rho^2."""
    made = filled(schedule, steps=500, visits=10)
    mean, deviation = CORRELATION * KNOWN, math.sqrt(1 - CORRELATION**2)
    assert made.mean().item() == pytest.approx(mean, abs=0.04)
    assert made.std().item() == pytest.approx(deviation, rel=0.05)


def test_more_visits_bring_hole_and_rest_into_agreement():
    few, many = (filled("linear", 100, visits).mean().item() for visits in (1, 10))
    right = CORRELATION * KNOWN
    assert abs(many - right) < 0.4 * abs(few - right)


def test_without_a_hole_the_data_come_back():
    data = torch.randn(50, 2)
    schedule = make_schedule("cosine", 50)
    start, hole = torch.randn(50, 2), torch.zeros(2, dtype=torch.bool)
    timesteps = trailing_timesteps(50, 10)
    states = repaint(exact_denoiser(data, schedule), start, schedule, timesteps, data, hole)
    assert torch.equal(final(states), data)


# ---------------------------------------------------------------------------------- pictures


def test_pictures_of_any_size_and_colour_are_read(tmp_path):
    path = tmp_path / "picture.png"
    grey = np.arange(784, dtype=np.uint8).reshape(28, 28)
    iio.imwrite(path, grey)
    assert np.array_equal(read_image(path, SHAPE), grey)
    iio.imwrite(path, np.kron(grey, np.ones((4, 4), dtype=np.uint8)))
    assert np.array_equal(read_image(path, SHAPE), grey)
    transparent = np.full((28, 28, 4), 255, dtype=np.uint8)
    transparent[:14, :, 3] = 0
    iio.imwrite(path, transparent)
    assert read_image(path, SHAPE).float().mean(1).tolist() == [0] * 14 + [255] * 14
    assert int(find_hole(str(path), SHAPE).sum()) == 14 * 28


def test_pictures_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "picture.png"
    with pytest.raises(InputError, match=r"picture\.png cannot be read"):
        read_image(path, SHAPE)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(path, SHAPE)
    iio.imwrite(path, np.zeros((28, 56), dtype=np.uint8))
    with pytest.raises(InputError, match="another shape than the model's images; a square"):
        read_image(path, SHAPE)
    iio.imwrite(path, np.zeros((28, 28), dtype=np.uint8))
    with pytest.raises(InputError, match="no white pixels"):
        find_hole(str(path), SHAPE)


def test_pictures_become_images_of_the_models_size_and_channels(tmp_path):
    path = tmp_path / "picture.png"
    colours = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    iio.imwrite(path, colours)
    assert np.array_equal(read_image(path, (3, 32, 64)), colours)
    assert read_image(path, (1, 16, 32)).shape == (16, 32)
    with pytest.raises(InputError, match="model's images; a picture of 32 : 64 is needed"):
        read_image(path, (3, 64, 32))


def test_test_images_are_found_by_their_numbers(tmp_path):
    from datasets.digits import make_digits

    images, _ = make_digits(False, 30)
    config = {"dataset": "digits", "shape": [1, 28, 28], "background": None}
    assert torch.equal(find_image("0", config, tmp_path), images[0])
    assert torch.equal(find_image("29", config, tmp_path), images[29])


def test_named_parts_cover_the_halves_and_the_middle():
    upper, lower, left, right, centre = (find_hole(name, SHAPE) for name in MASKS)
    assert torch.equal(upper, ~lower)
    assert torch.equal(left, ~right)
    assert torch.equal(upper, left.T)
    assert int(upper.sum()) == 14 * 28
    assert int(centre.sum()) == 14 * 14
    assert torch.equal(centre, centre.flip(0))
    assert torch.equal(centre, centre.T)


def test_named_parts_of_images_of_any_size(tmp_path):
    upper, lower, left, right, centre = (find_hole(name, (3, 32, 20)) for name in MASKS)
    assert torch.equal(upper, ~lower)
    assert torch.equal(left, ~right)
    assert int(upper[:16].sum()) == int(left[:, :10].sum()) == 16 * 20
    assert int(centre[8:24, 5:15].sum()) == int(centre.sum()) == 16 * 10


# --------------------------------------------------------------------------------- sample.py


def test_inpainting_keeps_what_the_mask_does_not_name(folder):
    options = ("--inpaint", "image.png", "--mask", "hole.png", "--steps", 5, "--num_images", 3)
    out = succeed("sample.py", *options, "--visits", 2, "--output", "filled.npy", cwd=folder)
    assert "wrote filled.npy" in out
    images = np.load(folder / "filled.npy")
    image = iio.imread(folder / "image.png")
    assert images.shape == (3, 28, 28)
    assert np.array_equal(images[:, :14], np.stack([image[:14]] * 3))
    assert not np.array_equal(images[0, 14:], images[1, 14:])
    for changed in (["--seed", 1], ["--visits", 1], ["--labels", 3]):
        others = ("--visits", 2, *changed, "--output", "other.npy")
        succeed("sample.py", *options, *others, cwd=folder)
        other = np.load(folder / "other.npy")
        assert not np.array_equal(images, other)
    succeed("sample.py", *options, cwd=folder)
    assert_picture(folder / "outputs" / "inpainting.png")
