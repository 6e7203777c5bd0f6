"""Quality and time of default runs on sets of points, as a table.

    python benchmarks/points.py                        all built-in sets
    python benchmarks/points.py dino drawing.csv       these two
    python benchmarks/points.py dino --epochs 400      with other options of train.py

A model for each set is trained by `train.py` with its defaults, in a separate process, whose total
time is given. Then 4,000 samples (ddpm, all timesteps: the defaults of sample.py) are compared with
4,000 fresh points. Distances are in units of the data's spread. The floor is the same figure for
4,000 other fresh points instead of the samples; it is in brackets, or the unit of a multiple.

    ED, SW2    energy distance and sliced Wasserstein-2 distance, as multiples of the floor. They
               and their floors are means over 8 fresh sets, since a single pair varies fourfold
    stray      mean distance from a sample to the data. For drawings, it is the distance to the
               points without jitter, as a multiple of the floor, which is the effect of jitter
    off        share of the samples farther than 0.05 from the data
    missed     share of the data farther than 0.05 from any sample; for drawings, of the points
               without jitter
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from recipes import script

import samplers
from checkpoints import load_checkpoint
from datasets import load_points
from datasets.units import make_units
from diffusion import make_diffusion
from evaluation.point_metrics import energy_distance, nearest, share_off, sliced_wasserstein
from models import load_model
from names import datasets_of
from samplers import final, timesteps_of
from utils import SeededNoise

COUNT = 4000
JITTER = 0.01
FRESH_SETS = 8


def draw_samples(
    checkpoint: dict,
    count: int,
    name: str = "ddpm",
    steps: int | None = None,
    seed: int = 1,
    **options: float,
) -> Tensor:
    """Samples from a trained model with the sampler `name`, float32 (count, 2), standardised.

    Args:
        options: for the sampler, such as `eta`.
    """
    diffusion = make_diffusion(checkpoint["config"])
    schedule, noise = diffusion.schedule, SeededNoise(seed, 0, count, "cpu")
    timesteps = timesteps_of(name, schedule, steps or len(schedule))
    x = diffusion.starting_noise(noise.draw(2), timesteps[0])
    denoise, sampler = diffusion.denoiser(load_model(checkpoint)), getattr(samplers, name)
    return final(sampler(denoise, x, schedule, timesteps, randn_like=noise.randn_like, **options))


class Fresh:
    """Points that a model has not seen, in its units: float32 (COUNT, 2), standardised."""

    def __init__(self, name: str, checkpoint: dict) -> None:
        self.name, self.units = name, make_units(checkpoint["config"])

    def draw(self, seed: int, jitter: float = JITTER) -> Tensor:
        return self.units.to_model(load_points(self.name, COUNT, jitter, seed).examples)

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs of fresh sets: one to compare samples with, and one in place of the samples."""
        seeds = range(201, 201 + 2 * FRESH_SETS, 2)
        return [(self.draw(seed), self.draw(seed + 1)) for seed in seeds]


def compare(name: str, checkpoint: dict) -> str:
    """One row of figures for a trained model."""
    points = Fresh(name, checkpoint)
    samples, fresh, other = draw_samples(checkpoint, COUNT), points.draw(101), points.draw(102)
    pairs = points.pairs()
    energy, sliced = (
        sum(distance(samples, a) for a, _ in pairs) / sum(distance(a, b) for a, b in pairs)
        for distance in (energy_distance, sliced_wasserstein)
    )
    drawn = points.draw(103, jitter=0.0) if "." in name else fresh
    to_data, floor = nearest(samples, drawn), nearest(other, drawn)
    to_samples, missed_floor = nearest(drawn, samples), nearest(drawn, other)
    off, off_floor, missed, missed_floor = (
        f"{100 * share_off(distances):.1f} %"
        for distances in (to_data, floor, to_samples, missed_floor)
    )
    stray = (
        f"{to_data.mean() / floor.mean():.2f} x {floor.mean():.4f}"
        if "." in name
        else f"{to_data.mean():.4f} ({floor.mean():.4f})"
    )
    return (
        f"{energy:.2f} | {sliced:.2f} | {stray} | {off} ({off_floor}) | {missed} ({missed_floor})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=datasets_of("points"), metavar="NAME")
    args, options = parser.parse_known_args()
    print("| dataset | seconds | ED / floor | SW2 / floor | stray | off | missed |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names:
        with tempfile.TemporaryDirectory() as folder:
            seconds = script("train.py", "--dataset", name, "--output_dir", folder, *options)
            row = compare(name, load_checkpoint(Path(folder) / "model_final.pt"))
            title = Path(name).name if "." in name else name
            print(f"| {title} | {seconds:.1f} | {row} |", flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
