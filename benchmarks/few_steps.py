"""Points in one or a few steps: after tuning by consistency, and by shortcuts from scratch.

    python benchmarks/few_steps.py                       dino, swiss_roll and gaussians
    python benchmarks/few_steps.py moons --folder few    another set; models are kept in few/

For each set, `train.py` runs three times with its defaults: as usual, with `--consistency` from
that model, and with `--objective shortcut`. Models already in --folder are not trained again. The
figure is 1000 times the energy distance of 5,000 samples to as many fresh points, in units of the
data's spread, as the mean of four seeds. `data` is the same figure for other fresh points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from points import JITTER, draw_samples
from recipes import script

from checkpoints import load_checkpoint
from datasets import load_points
from datasets.units import make_units
from evaluation.point_metrics import energy_distance

COUNT, SEEDS = 5000, range(4)
# For each run, in this order: the samplers and their numbers of steps.
PLANS = {
    "usual": [("ddim", 50), ("dpmpp", 5)],
    "consistency": [("consistency", steps) for steps in (1, 2, 4)],
    "shortcut": [("shortcut", steps) for steps in (1, 2, 3, 4, 8)],
}


def checkpoints(name: str, folder: Path) -> Iterator[dict]:
    """The models of the three runs on a set, in the order of `PLANS`."""
    runs = folder / Path(name).name
    usual = runs / "usual" / "model_final.pt"
    for run, how in zip(
        PLANS,
        (
            ("--dataset", name),
            ("--consistency", str(usual)),
            ("--dataset", name, "--objective", "shortcut"),
        ),
        strict=True,
    ):
        path = runs / run / "model_final.pt"
        if not path.is_file():
            seconds = script("train.py", *how, "--output_dir", str(path.parent))
            print(f"{name}, {run}: {seconds:.0f} s", flush=True)
        yield load_checkpoint(path)


def figures(name: str, folder: Path) -> Iterator[float]:
    """The figures of a row: for fresh points, and for each plan."""
    models = list(checkpoints(name, folder))
    units = make_units(models[0]["config"])
    fresh = [
        units.to_model(load_points(name, COUNT, JITTER, 301 + seed).examples)
        for seed in range(2 * len(SEEDS))
    ]
    yield mean(energy_distance(a, b) for a, b in zip(fresh[::2], fresh[1::2], strict=True))
    for checkpoint, plans in zip(models, PLANS.values(), strict=True):
        for sampler, steps in plans:
            yield mean(
                energy_distance(draw_samples(checkpoint, COUNT, sampler, steps, seed), one)
                for seed, one in zip(SEEDS, fresh[::2], strict=True)
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("names", nargs="*", default=["dino", "swiss_roll", "gaussians"], metavar="NAME")
    add("--folder", type=Path, default=Path("outputs/few_steps"), metavar="DIR")
    args = parser.parse_args()
    rows = {name: list(figures(name, args.folder)) for name in args.names}
    plans = [f"{sampler} {steps}" for plan in PLANS.values() for sampler, steps in plan]
    print(f"| set | data | {' | '.join(plans)} |")
    print(f"|{'---|' * (len(plans) + 2)}")
    for name, found in rows.items():
        print(f"| {name} | {' | '.join(f'{1000 * one:.2f}' for one in found)} |")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
