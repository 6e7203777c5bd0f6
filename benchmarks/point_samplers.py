"""Which sampler gives the best samples from a model of points, as a table.

    python benchmarks/point_samplers.py                          dino, swiss_roll, moons, gaussians
    python benchmarks/point_samplers.py drawing.csv --folder p   another; models are kept in p/

`train.py` learns each set with its defaults; a model that is already in --folder is not trained
again. Then each sampler makes 4,000 samples for each of three seeds, and these are compared with as
many fresh points.

    off        share of the samples farther than 0.05 of the spread from the data: the mean of the
               seeds and their range. The row `data` is for other fresh points
    ED         energy distance, as a multiple of that between two fresh sets; the mean of the seeds
               and of two such sets
    seconds    of CPU time for the samples, added over all cores; the least of the seeds
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from points import COUNT, Fresh, draw_samples
from recipes import script

from checkpoints import load_checkpoint
from evaluation.point_metrics import energy_distance, nearest, share_off

SETS = ("dino", "swiss_roll", "moons", "gaussians")
SEEDS = (1, 2, 3)
PLANS: tuple[tuple[str, int | None, dict[str, float]], ...] = (
    ("ddim", 20, {}),
    ("ddim", 50, {}),
    ("dpmpp", 20, {}),
    ("dpmpp", 50, {}),
    ("dpmpp", 20, {"eta": 1.0}),
    ("dpmpp", 50, {"eta": 1.0}),
    ("dpmpp", 100, {"eta": 1.0}),
    ("ddpm", 50, {}),
    ("ddpm", None, {}),
)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def rows(checkpoint: dict, points: Fresh) -> list[str]:
    """The figures for each plan, and for fresh points, as rows of a table."""
    fresh, other = points.draw(101), points.draw(102)
    pairs = [(points.draw(seed), points.draw(seed + 1)) for seed in (201, 203)]
    floor = mean(energy_distance(a, b) for a, b in pairs)
    found = [f"| data | - | {percent(share_off(nearest(other, fresh)))} | 1.00 | |"]
    for name, steps, options in PLANS:
        off, energy, seconds = [], [], []
        for seed in SEEDS:
            begun = time.process_time()
            samples = draw_samples(checkpoint, COUNT, name, steps, seed, **options)
            seconds.append(time.process_time() - begun)
            off.append(share_off(nearest(samples, fresh)))
            energy += [energy_distance(samples, a) / floor for a, _ in pairs]
        spread = f"{percent(mean(off))} ({percent(min(off))} to {percent(max(off))})"
        title = name + "".join(f", {option} {value:g}" for option, value in options.items())
        found.append(
            f"| {title} | {steps or 'all'} | {spread} | {mean(energy):.2f} | {min(seconds):.2f} |"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=SETS, metavar="NAME")
    parser.add_argument("--folder", type=Path, default=Path("outputs/samplers"), metavar="DIR")
    args = parser.parse_args()
    print("| dataset | sampler | steps | off, % | ED / floor | seconds |")
    print("|---|---|---|---|---|---|")
    for name in args.names:
        title = Path(name).name
        path = args.folder / Path(name).name / "model_final.pt"
        if not path.is_file():
            script("train.py", "--dataset", name, "--output_dir", str(path.parent))
        checkpoint = load_checkpoint(path)
        for row in rows(checkpoint, Fresh(name, checkpoint)):
            print(f"| {title} {row}", flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
