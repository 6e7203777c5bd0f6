"""Minutes of training until samples are good: the rows of budgets.py as a table and a picture.

    python benchmarks/time_to_quality.py outputs/budgets/rows.csv [MORE ...] --picture FILE

For each project and budget, each seed counts with its best recipe and sampler, and several seeds
with their medians. Minutes are those of the column `seconds`, which differ a little from the
budget. Between two budgets, FID is assumed to fall as a power of the minutes.
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from budgets import OURS, REAL

from cli.parser import Parser
from plots.figures import label_log_axis, save_figure
from system.errors import InputError

GOALS = (10.0, 2.0, 0.5)  # FID of digits that are legible, good, and hard to tell from real ones
TICKS = (1, 2, 5, 10, 20, 40)  # minutes, in the picture
Curve = list[tuple[float, float]]  # minutes and FID, ascending


def read(paths: Iterable[Path]) -> tuple[dict[str, Curve], float]:
    """The curve of each project, and the FID of real images.

    Raises:
        InputError: the rows are of several datasets, features or numbers of samples.
    """
    found: dict[tuple[str, float], dict[str, tuple[float, float]]] = defaultdict(dict)
    real, measured = math.nan, set()
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                fid = float(row["fid"])
                measured.add((row["dataset"], row["features"], row["samples"]))
                if row["model"] == REAL:
                    real = fid
                    continue
                seeds = found[row["model"], float(row["budget"])]
                best = seeds.get(row["seed"], (math.inf, math.inf))
                seeds[row["seed"]] = min((fid, float(row["seconds"]) / 60), best)
    if len(measured) != 1:
        raise InputError(f"these rows cannot be compared: {sorted(measured)}")
    curves: dict[str, Curve] = defaultdict(list)
    for (model, _), by_seed in sorted(found.items(), key=lambda item: item[0][1]):
        fids, minutes = zip(*by_seed.values(), strict=True)
        curves[model].append((statistics.median(minutes), statistics.median(fids)))
    return dict(curves), real


def minutes_until(curve: Curve, goal: float) -> float | None:
    """The minutes after which a curve first reaches an FID; None if it does not."""
    for k, (minutes, fid) in enumerate(curve):
        if fid <= goal:
            if k == 0:
                return minutes
            (m, f), ratio = curve[k - 1], math.log(goal / curve[k - 1][1])
            share = ratio / math.log(fid / f)
            return m * (minutes / m) ** share
    return None


def in_words(curve: Curve, goal: float) -> str:
    minutes = minutes_until(curve, goal)
    if minutes is None:
        return f"not in {curve[-1][0]:.0f}"
    return f"{'<= ' if minutes == curve[0][0] else ''}{minutes:.1f}"


def draw(curves: dict[str, Curve], real: float, path: Path) -> None:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for model, curve in curves.items():
        minutes, fids = zip(*curve, strict=True)
        ours = model == OURS
        label = "this project" if ours else model
        axes.plot(minutes, fids, "o-", label=label, linewidth=2.5 if ours else 1.5)
    for goal in GOALS:
        axes.axhline(goal, color="0.8", linewidth=0.8, linestyle="--", zorder=0)
    axes.axhline(real, color="0.4", linewidth=1, label="as many real images")
    axes.set(xscale="log", yscale="log", xlabel="minutes of training")
    axes.set(
        ylabel="FID in the features of our classifier", title="Samples after minutes of training"
    )
    longest = max(curve[-1][0] for curve in curves.values())
    ticks = [tick for tick in TICKS if tick <= longest]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    label_log_axis(axes.yaxis)
    figure.legend(loc="outside right upper", fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("rows", type=Path, nargs="+", metavar="FILE", help="rows.csv of budgets.py")
    default = Path("outputs/time_to_quality.png")
    parser.add_argument(
        "--picture", type=Path, default=default, metavar="FILE", help="file to draw"
    )
    args = parser.parse_args()
    try:
        curves, real = read(args.rows)
    except InputError as error:
        parser.error(str(error))
    print(f"| minutes until FID is at most | {' | '.join(f'{goal:g}' for goal in GOALS)} |")
    print("|---" * (len(GOALS) + 1) + "|")
    for model, curve in curves.items():
        print(f"| {model} | {' | '.join(in_words(curve, goal) for goal in GOALS)} |")
    draw(curves, real, args.picture)
    print(f"wrote {args.picture}")


if __name__ == "__main__":
    main()
