"""Train the models of pretrained/ again, and print their figures: `python docs/pretrained.py`.

This script trains class-conditional models of MNIST and Fashion-MNIST, tunes both for few steps,
and writes their averaged weights in half precision. Models that are already in --folder, including
those made by docs/build.py, are not trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from build import EPOCHS, REPOSITORY, Studio

DATASETS = ("mnist", "fashion_mnist")
SAMPLES = 10_000
# How each kind of model is measured: options of evaluate.py.
PLANS = {
    "": (("--sampler", "dpmpp", "--steps", 20),),
    "_one_step": (("--steps", 1), ("--steps", 2)),
}


def export(studio: Studio, run: Path, name: str) -> Path:
    """Export a run's averaged weights in half precision; return the file."""
    path = studio.target / f"{name}.pt"
    studio.run("sample.py", "--checkpoint", run / "model_final.pt", "--export", path, "--half")
    return path


def measure(studio: Studio, model: Path, plan: tuple[object, ...]) -> str:
    """A row of the table for one way to sample."""
    found = studio.folder / "figures.json"
    how = (*plan, "--num_samples", SAMPLES, "--data_dir", studio.data_dir, "--json", found)
    studio.run("evaluate.py", "--checkpoint", model, *how)
    content = json.loads(found.read_text(encoding="utf-8"))
    fid, size = content["figures"]["FID"], model.stat().st_size / 1e6
    distances = f"{fid['samples']:.2f} | {fid['real']:.2f}"
    return f"| `{model.stem}` | {size:.1f} MB | {content['made_by']} | {distances} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    add("--folder", type=Path, default=Path("outputs/docs"), metavar="DIR")
    add("--target", type=Path, default=REPOSITORY / "pretrained", metavar="DIR")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(args.folder.resolve(), args.data_dir.resolve(), args.target)
    rows = []
    for name in DATASETS:
        trained = studio.labelled(name)
        for suffix, run in (
            ("", trained),
            ("_one_step", studio.tuned(trained, "--epochs", EPOCHS)),
        ):
            model = export(studio, run, name + suffix)
            rows += [measure(studio, model, plan) for plan in PLANS[suffix]]
    print("| model | size | sampled by | FID | real images |", "|---|---|---|---|---|", sep="\n")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
