"""The effect of each choice on samples of a set of points: a picture and a table for each choice.

    python benchmarks/ablations.py                          all of them, about fifteen minutes
    python benchmarks/ablations.py --which lr schedule      these two
    python benchmarks/ablations.py --which lr --dataset moons

Rows are values of one option, with the defaults of `train.py` for all others. Columns are epochs of
that run; for `steps`, which trains no further model, they are samplers. Each cell shows the energy
distance of 2,000 samples (ddpm with all timesteps, unless the row says otherwise) to fresh points,
as a multiple of the distance between two sets of as many fresh points: 1 is perfect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from points import draw_samples
from recipes import script

from checkpoints import load_checkpoint
from datasets import load_points
from datasets.units import PointUnits, make_units
from evaluation.point_metrics import energy_distance
from names import FIXED_SCHEDULES, SAMPLERS, TIME_EMBEDDINGS
from plots.figures import save_figure

COUNT, SHOWN = 2000, 1000
FRESH_SETS = 6
EPOCHS = (20, 40, 80, 140, 200)
# Samplers for all models.
SHOWN_SAMPLERS = [name for name, one in SAMPLERS.items() if not one.by_level and not one.jumps]
STEPS = (5, 10, 20, 50, 200)


def values(option: str, *found: object) -> dict[str, str]:
    """The rows for one option: the label of each, and its options for train.py."""
    return {f"{value}": f"--{option} {value}" for value in found}


ABLATIONS = {
    "lr": values("lr", 2e-4, 1e-3, 5e-3, 2e-2, 5e-2),
    "timesteps": values("timesteps", 10, 25, 50, 100, 200, 500),
    "schedule": values("schedule", *FIXED_SCHEDULES),
    "prediction": values("prediction", "eps", "x0", "v"),
    "hidden_size": values("hidden_size", 16, 32, 64, 128, 256),
    "time_embedding": values("time_embedding", *TIME_EMBEDDINGS),
    "coordinates": {
        "raw": "--coordinates raw",
        **{f"scale {scale}": f"--embedding_scale {scale}" for scale in (0.5, 1, 2, 4)},
    },
    "ema_decay": values("ema_decay", 0, 0.9, 0.99, 0.999),
    "steps": {},
}
Cell = tuple[Tensor, float]  # samples (n, 2) in the data's units, and their distance


class Judge:
    """Compares samples with fresh points of a dataset, in units of its spread."""

    def __init__(self, dataset: str, units: PointUnits) -> None:
        def fresh(seed: int) -> Tensor:
            return units.to_model(load_points(dataset, COUNT, 0.01, seed).examples)

        pairs = [(fresh(seed), fresh(seed + 1)) for seed in range(201, 201 + 2 * FRESH_SETS, 2)]
        self.sets = [first for first, _ in pairs]
        self.floor = sum(energy_distance(a, b) for a, b in pairs) / FRESH_SETS

    def distance(self, samples: Tensor) -> float:
        return sum(energy_distance(samples, one) for one in self.sets) / FRESH_SETS / self.floor


def train(options: str, args: argparse.Namespace, folder: Path) -> Path:
    """The folder of a run, which is trained unless it exists."""
    if not (folder / "model_final.pt").is_file():
        often = ("--save_interval", 20, "--sample_interval", max(EPOCHS), "--epochs", max(EPOCHS))
        where = ("--dataset", args.dataset, "--output_dir", folder)
        script("train.py", "--quiet", *options.split(), *often, *where)
    return folder


def rows(which: str, args: argparse.Namespace) -> Iterator[tuple[str, list[Cell]]]:
    """The label of each row and its cells."""

    def cell(checkpoint: dict, *how: object) -> Cell:
        units = make_units(checkpoint["config"])
        assert isinstance(units, PointUnits)
        made = draw_samples(checkpoint, COUNT, *how)
        return units.to_data(made[:SHOWN]), Judge(args.dataset, units).distance(made)

    if which == "steps":
        run = train("", args, args.folder / args.dataset / "default")
        checkpoint = load_checkpoint(run / "model_final.pt")
        for steps in STEPS:
            yield f"{steps} steps", [cell(checkpoint, name, steps) for name in SHOWN_SAMPLERS]
        return
    for text, options in ABLATIONS[which].items():
        run = train(options, args, args.folder / args.dataset / which / text.replace(" ", "_"))
        files = [run / "checkpoints" / f"model_epoch_{epoch:03d}.pt" for epoch in EPOCHS]
        yield f"{which} {text}", [cell(load_checkpoint(file)) for file in files]


def draw(
    table: Sequence[tuple[str, list[Cell]]],
    columns: Sequence[str],
    data: Tensor,
    title: str,
    path: Path,
) -> None:
    """Draw all cells on the same axes, which have room for `data` (n, 2) and some strays."""
    figure = Figure(
        figsize=(1.55 * len(columns) + 0.5, 1.6 * len(table) + 0.6), layout="constrained"
    )
    panels = figure.subplots(len(table), len(columns), squeeze=False)
    low, high = data.min(0).values, data.max(0).values
    middle, reach = (low + high) / 2, 0.6 * (high - low).max()
    for (text, cells), panel_row in zip(table, panels, strict=True):
        panel_row[0].set_ylabel(text.replace(" ", "\n", 1), fontsize=9)
        for (points, distance), axes in zip(cells, panel_row, strict=True):
            axes.scatter(*points.T, s=1, color="#1f4e79", linewidths=0)
            limits = torch.stack([middle - reach, middle + reach]).T.tolist()
            axes.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[], aspect="equal")
            box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
            where = {"transform": axes.transAxes, "ha": "right", "va": "top"}
            axes.text(0.97, 0.96, f"{distance:.3g}", fontsize=9, bbox=box, **where)
    for column, axes in zip(columns, panels[0], strict=True):
        axes.set_title(column, fontsize=9)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--which", nargs="+", default=list(ABLATIONS), choices=ABLATIONS, metavar="NAME")
    add("--dataset", default="dino", metavar="NAME")
    add("--folder", type=Path, default=Path("outputs/ablations"), metavar="DIR")
    args = parser.parse_args()
    data = load_points(args.dataset, SHOWN, 0.01, 0).examples
    for which in args.which:
        columns = SHOWN_SAMPLERS if which == "steps" else [f"epoch {epoch}" for epoch in EPOCHS]
        print(f"| {which} | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
        table = []
        for text, cells in rows(which, args):
            table.append((text, cells))
            figures = " | ".join(f"{distance:.3g}" for _, distance in cells)
            print(f"| {text} | {figures} |", flush=True)
        path = args.folder / f"{args.dataset}_{which}.png"
        title = f"{args.dataset}: energy distance as a multiple of the floor"
        draw(table, columns, data, title, path)
        print(f"wrote {path}\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
