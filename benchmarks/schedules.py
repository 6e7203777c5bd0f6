"""The learned noise schedule and fixed schedules on sets of points, as a table.

    python benchmarks/schedules.py                          dino, swiss_roll and moons
    python benchmarks/schedules.py dino drawing.csv --seeds 1 --folder runs

For each schedule and seed, `train.py` trains a model with its defaults otherwise; models already in
--folder are not trained again. Figures are medians over the seeds, with the lowest and the highest
in brackets. The first three are 1000 times the energy distance of 4,000 samples to as many fresh
points, in units of the data's spread, for `ddpm` with all timesteps and `dpmpp` with 20 and 5
steps. `stray` is the mean distance of the `ddpm` samples to the data (in drawings, to the points
without jitter), as a multiple of that of fresh points. `data` is the energy distance of other fresh
points.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean, median

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from points import COUNT, Fresh, draw_samples
from recipes import script

from checkpoints import load_checkpoint
from evaluation.point_metrics import energy_distance, nearest
from system.values import Whole

SCHEDULES = ("quadratic", "cosine", "learned")
PLANS = (("ddpm", None), ("dpmpp", 20), ("dpmpp", 5))


def trained(name: str, schedule: str, seed: int, folder: Path) -> dict:
    """The checkpoint of a run."""
    run = folder / Path(name).name / f"{schedule}_{seed}"
    if not (run / "model_final.pt").is_file():
        options = ("--dataset", name, "--schedule", schedule, "--seed", seed)
        script("train.py", *options, "--output_dir", run)
    return load_checkpoint(run / "model_final.pt")


def figures(name: str, checkpoint: dict) -> list[float]:
    """The figures of a model, in the order of the table; the last is the floor of the distances."""
    points = Fresh(name, checkpoint)
    fresh = points.pairs()
    drawn = points.draw(103, jitter=0.0) if "." in name else points.draw(103)
    made = [draw_samples(checkpoint, COUNT, *plan) for plan in PLANS]
    energy = [1000 * mean(energy_distance(x, one) for one, _ in fresh) for x in made]
    stray = nearest(made[0], drawn).mean() / nearest(fresh[0][1], drawn).mean()
    return [*energy, stray.item(), 1000 * mean(energy_distance(a, b) for a, b in fresh)]


def row(name: str, schedule: str, found: list[list[float]]) -> str:
    """The figures of all seeds, as a line of the table."""
    cells = [
        f"{median(one):.3g} ({min(one):.3g} to {max(one):.3g})"
        for one in zip(*(model[:-1] for model in found), strict=True)
    ]
    return f"| {Path(name).name} | {schedule} | {' | '.join(cells)} | {found[0][-1]:.3g} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("names", nargs="*", default=["dino", "swiss_roll", "moons"], metavar="NAME")
    add("--seeds", type=Whole(1).parse, default=3, metavar="N", help="models for each schedule")
    add("--folder", type=Path, default=Path("outputs/schedules"), metavar="DIR", help="for models")
    args = parser.parse_args()
    print("| dataset | schedule | ddpm, all | dpmpp, 20 | dpmpp, 5 | stray | data |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names:
        for schedule in SCHEDULES:
            models = (trained(name, schedule, seed, args.folder) for seed in range(args.seeds))
            print(row(name, schedule, [figures(name, model) for model in models]), flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
