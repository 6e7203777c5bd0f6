"""Files of earlier releases: they load, sample to the same pixels, and resume.

release_1 and release_2 hold small runs that those releases wrote, with samples by
`sample.py --sampler ddim --steps 5 --precision fp32`. Of the U-Net, whose weights would take 4 MB,
the names and shapes are kept, and the weights are drawn from a seed.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from scripts import REPOSITORY, succeed

import train
from checkpoints import load_checkpoint

RELEASES = REPOSITORY / "tests"
POINTS_END = RELEASES / "release_2" / "points.pt"
OPTIONS = "--sampler ddim --steps 5 --precision fp32 --num_images".split()
MODELS = [
    ("release_1", "images", 4),
    ("release_1", "points", 8),
    ("release_2", "images", 4),
    ("release_2", "points", 8),
    ("release_2", "muon", 8),
]


def assert_same_samples(found, expected):
    """Equal up to rounding on other machines: one grey level, or 1e-4 of a coordinate."""
    found, expected = (np.load(path).astype(float) for path in (found, expected))
    images = found.ndim == 3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1 if images else 1e-5)


@pytest.mark.parametrize(("release", "name", "count"), MODELS)
def test_models_make_the_same_samples(release, name, count, tmp_path):
    checkpoint = ("--checkpoint", RELEASES / release / f"{name}.pt", "--output", "x.npy")
    succeed("sample.py", *checkpoint, *OPTIONS, count, cwd=tmp_path)
    assert_same_samples(tmp_path / "x.npy", RELEASES / release / f"{name}.npy")


def test_a_unet_with_guidance_makes_the_same_samples(tmp_path):
    known = json.loads((RELEASES / "release_2" / "unet.json").read_text())
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.3 * torch.randn(shape, generator=generator)
        for name, shape in known["shapes"].items()
    }
    content = {"format": 2, "config": known["config"], "model": weights, "ema": weights}
    torch.save(content, tmp_path / "unet.pt")
    options = ("--checkpoint", "unet.pt", "--output", "x.npy", "--labels", "3,7", "--guidance", 2)
    succeed("sample.py", *options, *OPTIONS, 4, cwd=tmp_path)
    assert_same_samples(tmp_path / "x.npy", RELEASES / "release_2" / "unet.npy")


@pytest.mark.parametrize(
    ("release", "name"),
    [("release_1", "points"), ("release_2", "points"), ("release_2", "muon")],
)
def test_a_run_goes_on_to_the_same_end(release, name, tmp_path):
    folder = RELEASES / release
    resume = ["--resume", str(folder / f"{name}_epoch_001.pt"), "--output_dir", str(tmp_path)]
    trainer = train.make_trainer(train.parse_arguments(resume))
    run = trainer.run
    assert run.step == 2
    trainer.train()
    end = load_checkpoint(folder / f"{name}.pt")
    for part, found in (("model", run.model), ("ema", run.ema.model)):
        for key, weight in found.state_dict().items():
            torch.testing.assert_close(weight, end[part][key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("release", "name"),
    [("release_1", "points"), ("release_2", "points"), ("release_2", "muon")],
)
def test_a_configuration_starts_the_same_run_again(release, name, tmp_path):
    config = RELEASES / release / f"{name}.json"
    before = json.loads(config.read_text())
    again = train.parse_arguments(["--config", str(config), "--output_dir", str(tmp_path)])
    for option in ("dataset", "hidden_dims", "class_conditional", "optimizer", "lr", "schedule"):
        assert getattr(again, option) == before[option]


def test_a_run_goes_on_in_its_own_folder(tmp_path):
    """Although its config.json lacks settings that did not exist in that release."""
    outputs = tmp_path / "outputs"
    (outputs / "checkpoints").mkdir(parents=True)
    shutil.copy(RELEASES / "release_2" / "points.json", outputs / "config.json")
    checkpoint = outputs / "checkpoints" / "model_epoch_001.pt"
    shutil.copy(RELEASES / "release_2" / "points_epoch_001.pt", checkpoint)
    assert "moved" not in succeed("train.py", "--resume", cwd=tmp_path)
    assert json.loads((outputs / "config.json").read_text())["shape"] == [2]
    found, end = (load_checkpoint(x) for x in (outputs / "model_final.pt", POINTS_END))
    for key, weight in found["model"].items():
        torch.testing.assert_close(weight, end["model"][key], rtol=1e-4, atol=1e-5)
