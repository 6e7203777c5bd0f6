"""Settings and batches, as used in a notebook, and what all ways of sampling refuse."""

import pytest
import torch
from scripts import refuse
from studio import POINTS, write_model

from guidance import cycle_labels
from sampling import SampleSettings, generate, restore
from system.errors import InputError


@pytest.fixture
def trained(tmp_path):
    """An untrained model of points in two classes."""
    path = tmp_path / "model.pt"
    write_model(str(path), "--dataset", "moons", "--class_conditional", *POINTS)
    return restore(path)


def test_a_checkpoint_and_settings_are_enough(trained):
    samples = generate(trained, SampleSettings(count=10))
    assert samples.shape == (10, 2)
    # All classes that the model knows, in turn, if none is named.
    assert torch.equal(samples, generate(trained, SampleSettings(10), cycle_labels([0, 1], 10)))


def test_steps_are_a_number_or_the_timesteps_themselves(trained):
    schedule, total = trained.diffusion.schedule, trained.last + 1
    assert SampleSettings(sampler="ddpm").timesteps(schedule) == list(range(total - 1, -1, -1))
    assert len(SampleSettings().timesteps(schedule)) == 20
    assert SampleSettings(steps=4).timesteps(schedule) == [199, 149, 99, 49]
    four, same = (SampleSettings(8, steps=steps) for steps in (4, (199, 149, 99, 49)))
    assert torch.equal(generate(trained, four), generate(trained, same))
    with pytest.raises(InputError, match="--steps: 300 denoising steps are not possible"):
        SampleSettings(steps=300).timesteps(schedule)


def test_the_samples_do_not_depend_on_the_size_of_the_batches(trained):
    for sampler in ("ddpm", "dpmpp"):
        found = [
            generate(trained, SampleSettings(70, sampler, steps=3, batch_size=size))
            for size in (None, 20)
        ]
        torch.testing.assert_close(*found)


def test_settings_that_a_sampler_does_not_have_are_refused():
    with pytest.raises(InputError, match="no sampler 'euler'; there are ddpm, ddim"):
        SampleSettings(sampler="euler")
    for settings in ({"sampler": "heun", "eta": 0.5}, {"sampler": "dpmpp", "momentum": 2.0}):
        with pytest.raises(InputError, match="does not apply to the sampler"):
            SampleSettings(**settings)


def test_guidance_that_cannot_be_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match="the model's last timestep is 199"):
        generate(trained, SampleSettings(4, guidance=2.0, guidance_interval=(200, 300)))
    write_model(str(tmp_path / "plain.pt"), "--dataset", "moons", *POINTS)
    with pytest.raises(InputError, match="--guidance needs a model trained with"):
        generate(restore(tmp_path / "plain.pt"), SampleSettings(4, guidance=2.0))


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
