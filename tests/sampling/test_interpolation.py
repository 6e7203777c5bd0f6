"""Interpolation: the mathematics, and `sample.py --interpolate` as a user runs it."""

from itertools import pairwise

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import assert_picture, refuse, succeed

from sampling import SampleSettings, restore
from sampling.interpolation import FRAMES, interpolate, slerp


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
    trained = restore(folder / "outputs" / "model_final.pt")
    made = interpolate(trained, SampleSettings(count=3, steps=5), (4, 9), torch.arange(3))
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
