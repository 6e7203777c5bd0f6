"""Interpolation and inpainting: the mathematics, and `sample.py` as a person runs it."""

import argparse
import math
from itertools import pairwise

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import assert_picture, refuse, succeed

from diffusion import make_schedule
from samplers import exact_denoiser, final, repaint, trailing_timesteps
from sampling.editing import FRAMES, MASKS, find_hole, find_image, interpolate, read_image, slerp
from sampling.generation import restore
from system.errors import InputError


def test_the_arc_begins_and_ends_at_its_ends_and_keeps_its_length():
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 1, 28, 28)
    torch.testing.assert_close(slerp(a, b, 0), a)
    torch.testing.assert_close(slerp(a, b, 1), b)
    b = b * (a.norm() / b.norm())
    for share in (0.2, 0.5, 0.9):
        middle = slerp(a, b, share)
        assert middle.norm().item() == pytest.approx(a.norm().item(), rel=1e-5)
        angles = [torch.cosine_similarity(a.flatten(), c.flatten(), dim=0) for c in (middle, b)]
        assert angles[0].arccos().item() == pytest.approx(share * angles[1].arccos().item())
    assert torch.lerp(a, b, 0.5).norm() < 0.75 * a.norm()


def test_the_arc_between_equal_noises_is_that_noise():
    a = torch.randn(3, 2)
    torch.testing.assert_close(slerp(a, a.clone(), 0.3), a)


CORRELATION, KNOWN = 0.9, 1.2


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
    """The second coordinate, made by RePaint from the first, which is `KNOWN`."""
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
    """Of normal data what belongs there is known: mean rho x, variance 1 - rho^2."""
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
    assert np.array_equal(read_image(path), grey)
    iio.imwrite(path, np.kron(grey, np.ones((4, 4), dtype=np.uint8)))
    assert np.array_equal(read_image(path), grey)
    transparent = np.full((28, 28, 4), 255, dtype=np.uint8)
    transparent[:14, :, 3] = 0
    iio.imwrite(path, transparent)
    assert read_image(path).float().mean(1).tolist() == [0] * 14 + [255] * 14
    assert int(find_hole(str(path)).sum()) == 14 * 28


def test_pictures_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "picture.png"
    with pytest.raises(InputError, match=r"picture\.png cannot be read"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(path)
    iio.imwrite(path, np.zeros((28, 56), dtype=np.uint8))
    with pytest.raises(InputError, match="56 x 28 pixels; a square"):
        read_image(path)
    iio.imwrite(path, np.zeros((28, 28), dtype=np.uint8))
    with pytest.raises(InputError, match="no white pixels"):
        find_hole(str(path))


def test_test_images_are_found_by_their_numbers(tmp_path):
    from datasets.digits import make_digits

    images, _ = make_digits(False, 30)
    assert torch.equal(find_image("0", "digits", tmp_path), images[0])
    assert torch.equal(find_image("29", "digits", tmp_path), images[29])


def test_named_parts_cover_the_halves_and_the_middle():
    upper, lower, left, right, centre = (find_hole(name) for name in MASKS)
    assert torch.equal(upper, ~lower)
    assert torch.equal(left, ~right)
    assert torch.equal(upper, left.T)
    assert int(upper.sum()) == 14 * 28
    assert int(centre.sum()) == 14 * 14
    assert torch.equal(centre, centre.flip(0))
    assert torch.equal(centre, centre.T)


# --------------------------------------------------------------------------------- sample.py


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A short class-conditional run on digits, an image, and a mask of its lower half."""
    folder = tmp_path_factory.mktemp("editing")
    options = "--dataset digits --subset 256 --epochs 1 --base_channels 8 --class_conditional"
    succeed("train.py", *options.split(), "--num_samples", 4, cwd=folder)
    hole = np.zeros((28, 28), dtype=np.uint8)
    hole[14:] = 255
    iio.imwrite(folder / "hole.png", hole)
    iio.imwrite(folder / "image.png", np.arange(784).reshape(28, 28).astype(np.uint8))
    return folder


def test_interpolation_goes_from_the_samples_of_one_seed_to_the_others(folder):
    options = ("--steps", 5, "--num_images", 3)
    out = succeed("sample.py", "--interpolate", 4, 9, *options, cwd=folder)
    assert "wrote outputs/interpolation.png, outputs/interpolation.gif" in out
    assert "dpmpp, 5 steps" in out
    assert_picture(folder / "outputs" / "interpolation.png")
    frames = iio.imread(folder / "outputs" / "interpolation.gif")
    assert 2 <= len(frames) <= 2 * FRAMES - 1  # equal neighbours become one frame
    rows = []
    for seed in (4, 9):
        plain = ("--sampler", "dpmpp", "--seed", seed, "--output", f"{seed}.npy")
        succeed("sample.py", *options, *plain, cwd=folder)
        rows.append(np.load(folder / f"{seed}.npy"))
    trained = restore(folder / "outputs" / "model_final.pt", torch.device("cpu"))
    args = argparse.Namespace(interpolate=[4, 9], num_images=3, guidance=None, guide=None)
    args.sampler, args.eta, args.momentum = "dpmpp", None, None
    made = interpolate(
        trained, args, trailing_timesteps(1000, 5), torch.device("cpu"), torch.arange(3)
    )
    assert len(made) == FRAMES
    for row, frame in zip(rows, (made[0], made[-1]), strict=True):
        assert abs(row.astype(int) - frame.numpy().astype(int)).max() <= 8  # of bf16 and fp32
    steps = [abs(a.float() - b.float()).mean().item() for a, b in pairwise(made)]
    assert max(steps) < 0.5 * abs(made[0].float() - made[-1].float()).mean()


def test_interpolation_of_points(tmp_path):
    options = "--dataset moons --num_points 200 --epochs 1 --hidden_size 8 --num_samples 50"
    succeed("train.py", *options.split(), cwd=tmp_path)
    succeed("sample.py", "--interpolate", 1, 2, "--output", "way.png", cwd=tmp_path)
    assert_picture(tmp_path / "way.png")
    assert (tmp_path / "way.gif").is_file()
    for image in ("a.png", 0):
        error = refuse("sample.py", "--inpaint", image, "--mask", "centre", cwd=tmp_path)
        assert "models of images" in error


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


def test_a_broken_model_is_an_error_and_not_a_black_picture(folder):
    checkpoint = torch.load(folder / "outputs" / "model_final.pt", weights_only=True)
    for tensor in checkpoint["ema"].values():
        tensor.fill_(1e38)
    torch.save(checkpoint, folder / "nan.pt")
    broken = ("--checkpoint", "nan.pt", "--steps", 2, "--output", "broken.png")
    for options in (("--interpolate", 1, 2), ("--inpaint", "image.png", "--mask", "hole.png")):
        error = refuse("sample.py", *options, *broken, cwd=folder, code=1)
        assert "not finite" in error
        assert not (folder / "broken.png").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--inpaint image.png", "needs a --mask"),
        ("--data_dir data", "--data_dir belongs to --inpaint"),
        ("--mask hole.png", "--mask belongs to --inpaint"),
        ("--visits 3", "--visits belongs to --inpaint"),
        ("--inpaint image.png --mask hole.png --interpolate 1 2", "--interpolate cannot go"),
        ("--inpaint image.png --mask hole.png --sampler ddim", "--sampler cannot go"),
        ("--inpaint image.png --mask hole.png --gif", "--gif are not for inpainting"),
        ("--inpaint image.png --mask hole.png --export a.safetensors", "--export is not for"),
        ("--inpaint image.png --mask hole.png --visits 0", "at least 1"),
        ("--inpaint image.png --mask hole.png --output a.csv", "--output of images"),
        ("--interpolate 1", "expected 2 arguments"),
        ("--interpolate 1 x", "whole number"),
        ("--interpolate 1 2 --sampler ddpm", "without fresh noise"),
        ("--interpolate 1 2 --sampler ddim --eta 1", "without fresh noise"),
        ("--interpolate 1 2 --eta 1", "without fresh noise"),
        ("--interpolate 1 2 --show_intermediate", "not for interpolation"),
        ("--interpolate 1 2 --output a.npy", "--output of --interpolate"),
    ],
)
def test_what_does_not_go_together_is_refused(options, said, folder):
    assert said in refuse("sample.py", *options.split(), cwd=folder)
