"""Comparison of training recipes: a table of their figures, and a picture of samples.

    python benchmarks/recipes.py                                 all recipes, 2 epochs of MNIST
    python benchmarks/recipes.py ddpm default --epochs 20        these two, longer
    python benchmarks/recipes.py --dataset fashion_mnist

For each recipe, `train.py` runs with the options below, then `evaluate.py` on 2,000 samples (dpmpp,
20 steps). Recipes already in --folder are not run again. The last column is the median training
speed. The picture has a row of samples for each recipe, all from the same noise.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import plots.images

START = (
    "--optimizer adamw --lr 1e-3 --lr_schedule constant --schedule linear --prediction eps"
    " --timestep_sampling uniform"
)
RECIPES = {
    # The recipe of the DDPM paper (with a higher learning rate), and variants with one change.
    "ddpm": START,
    "lr 2e-4": f"{START} --lr 2e-4",
    "lr cosine": f"{START} --lr_schedule cosine",
    "cosine": f"{START} --schedule cosine",
    "v": f"{START} --prediction v",
    # The defaults of train.py, and variants with one change.
    "default": "",
    "default, adamw": "--optimizer adamw",
    "default, lr 1e-3": "--lr 1e-3",
    "default, lr constant": "--lr_schedule constant",
    "default, uniform timesteps": "--timestep_sampling uniform",
    "default, v": "--prediction v",
    "default, eps": "--prediction eps",
    "default, flow": "--schedule flow",
    "default, min_snr": "--loss_weighting min_snr",
    "default, uniform weights": "--loss_weighting uniform",
    "default, no ema": "--ema_decay 0",
    "default, dropout": "--dropout 0.1",
    "default, no attention": "--no_attention",
}
FIGURES = ("FID", "KID x 1000", "precision", "recall", "share classified with p >= 0.9")
SAMPLES = 2000
SHOWN = 16


def script(name: str, *options: object) -> float:
    """Run a script; return the seconds that the process takes."""
    start = time.perf_counter()
    command = [sys.executable, REPOSITORY / name, *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def median_rate(history: Path) -> float:
    """The median training speed in images per second, on which a busy minute has little effect."""
    with history.open() as file:
        rates = [row["images_per_second"] for row in csv.DictReader(file)]
    return statistics.median(float(rate) for rate in rates if rate)


def run(options: str, args: argparse.Namespace, folder: Path) -> dict:
    """Train and evaluate one recipe, unless that was done before; return its figures."""
    done = folder / "measured.json"
    if done.is_file():
        return json.loads(done.read_text())
    data = ("--dataset", args.dataset, "--data_dir", args.data_dir, "--epochs", args.epochs)
    script("train.py", *options.split(), *data, "--output_dir", folder)
    model = ("--checkpoint", folder / "model_final.pt")
    few = ("--num_images", SHOWN, "--sampler", "dpmpp", "--output", folder / "samples.npy")
    script("sample.py", *model, *few)
    evaluated = folder / "evaluation.json"
    where = ("--data_dir", args.data_dir, "--json", evaluated)
    script("evaluate.py", *model, "--num_samples", SAMPLES, *where)
    rate = median_rate(folder / "history.csv")
    measured = {"rate": rate, **json.loads(evaluated.read_text())["figures"]}
    done.write_text(json.dumps(measured))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("recipes", nargs="*", metavar="NAME", help=f"some of: {'; '.join(RECIPES)} (default: all)")
    add("--dataset", default="mnist", choices=("mnist", "fashion_mnist", "digits"))
    add("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    add("--epochs", type=int, default=2, metavar="N")
    add("--folder", type=Path, default=Path("outputs/recipes"), metavar="DIR")
    args = parser.parse_args()
    for name in args.recipes:
        if name not in RECIPES:
            parser.error(f"no recipe {name!r}; there are {'; '.join(RECIPES)}")
    rows = []
    print(f"| recipe | {' | '.join(FIGURES)} | images/s |\n{'|---' * (len(FIGURES) + 2)}|")
    for name in args.recipes or RECIPES:
        folder = args.folder / f"{args.dataset}-{args.epochs}" / name.replace(" ", "_")
        measured = run(RECIPES[name], args, folder)
        figures = " | ".join(f"{measured[figure]['samples']:.3g}" for figure in FIGURES)
        print(f"| {name} | {figures} | {measured['rate']:.0f} |", flush=True)
        label = f"{name}   FID {measured['FID']['samples']:.2f}"
        rows.append((label, torch.from_numpy(np.load(folder / "samples.npy"))))
    floor = " | ".join(f"{measured[figure]['real']:.3g}" for figure in FIGURES)
    print(f"| real images | {floor} | |")
    picture = args.folder / f"recipes_{args.dataset}_{args.epochs}.png"
    title = f"{args.dataset}, {args.epochs} epochs: samples of each recipe from the same noise"
    plots.images.save_rows(rows, picture, title)
    print(f"wrote {picture}")


if __name__ == "__main__":
    main()
