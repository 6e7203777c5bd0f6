"""The whole files from which the cases of the fuzz suite are made, by tiny runs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from scripts import succeed

import train
from system.errors import Stopped

# As little work as an accepted file can make; 50 points in batches of 10 are 5 steps.
NETWORK = "--hidden_size 8 --hidden_layers 1 --embedding_size 4 --num_samples 10".split()
TINY = (*NETWORK, *"--epochs 1 --num_points 50 --batch_size 10 --timesteps 10".split())
POINTS = ("--dataset", "line", *TINY)
IMAGES = (*"--dataset digits --subset 20 --model mlp --epochs 1 --timesteps 10".split(), *NETWORK)
HAS_SAFETENSORS = importlib.util.find_spec("safetensors") is not None


@dataclass(frozen=True)
class Base:
    """Folders of whole files.

    Attributes:
        files: those that are damaged: points.pt, images.pt and (with that package)
            points.safetensors for sampling; epoch.pt and step.pt, of points, for going on with.
        place: what is in the folder in which a case runs: an earlier run's outputs/, which no
            refused file may touch, and the second file of commands that need two.
        config: what config.json says of the run of points.
    """

    files: Path
    place: Path
    config: dict

    def read(self, name: str) -> bytes:
        return (self.files / name).read_bytes()

    def checkpoint(self, name: str) -> dict:
        return torch.load(self.files / name, weights_only=True)


def make_base(folder: Path) -> Base:
    files, place, other = (folder / name for name in ("files", "place", "other"))
    for made in (files, place, other):
        made.mkdir()
    succeed("train.py", *IMAGES, cwd=other)
    shutil.move(other / "outputs" / "model_final.pt", files / "images.pt")
    succeed("train.py", *POINTS, cwd=place)
    shutil.copy(place / "outputs" / "model_final.pt", files / "points.pt")
    shutil.copy(place / "outputs" / "checkpoints" / "model_epoch_001.pt", files / "epoch.pt")
    shutil.move(stopped_run(other / "stopped"), files / "step.pt")
    if HAS_SAFETENSORS:
        options = ("--checkpoint", "points.pt", "--export", "points.safetensors")
        succeed("sample.py", *options, cwd=files)
    shutil.copy(files / "images.pt", place / "images.pt")
    picture().convert("L").save(place / "whole.png")
    config = json.loads((place / "outputs" / "config.json").read_text(encoding="utf-8"))
    return Base(files, place, config)


def stopped_run(folder: Path) -> Path:
    """The checkpoint of a run that was stopped after its first step."""
    options = (*POINTS, "--output_dir", str(folder), "--device", "cpu")
    trainer = train.make_trainer(train.parse_arguments(list(options)))
    take_step = trainer.step

    def stop(*arguments):
        trainer.saver.stop.note(signal.SIGTERM, None)
        return take_step(*arguments)

    trainer.step = stop
    before = torch.get_rng_state()
    try:
        trainer.train()
    except Stopped:
        torch.set_rng_state(before)
        return folder / "checkpoints" / "model_step_0000001.pt"
    raise AssertionError("the run did not stop")


def picture(mode: str = "RGB", shift: int = 0) -> Image.Image:
    """A small square drawing."""
    drawn = Image.new("RGB", (24, 24), "white")
    draw = ImageDraw.Draw(drawn)
    draw.ellipse((3 + shift, 5, 15 + shift, 18), outline="black", width=2)
    draw.line((2, 21, 21, 2), fill=(200, 0, 30))
    return drawn.convert(mode)
