"""FID after equal minutes of training: this project and its rivals, each with its own recipe.

    pip install -r benchmarks/requirements.txt
    python benchmarks/budgets.py                       1, 2, 5, 10 and 20 minutes; takes hours
    python benchmarks/budgets.py --models diffusers lucidrains smalldiffusion --batch 128
    python benchmarks/budgets.py --minutes 1 --num_samples 500
    python benchmarks/budgets.py --dataset FOLDER --image_size 32 --minutes 10
    python benchmarks/budgets.py --models ours --networks unet dit --seeds 0 1 2
    python benchmarks/time_to_quality.py outputs/budgets/rows.csv    draws the results

This project runs `train.py` with its defaults, for as many steps as fit into the time
(measured first), and `sample.py --sampler dpmpp`, with and without fresh noise. Each rival is its
smallest usual U-Net, trained as in its examples (batch size, optimizer, noise schedule, prediction
and moving average), in the precision that `train.py` chooses on this machine. `--batch` sets
another batch size, since theirs were not chosen for a CPU. No model uses labels or mirrored images.
The time for making samples does not count. FID is computed as in `evaluate.py`, but from fewer
samples, because the rivals take minutes to make these. The last row is for real images. The first
samples of each row are drawn in --folder, and the rows are added to rows.csv there.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from recipes import script
from rivals import RIVALS, SIDES, Rival

import names
from cli.options import DATA_DIR
from cli.parser import Parser
from datasets import Dataset, load_images
from datasets.settings import ImageSettings
from datasets.units import to_pixels, to_unit
from evaluation.classifier import classify, load_classifier
from evaluation.image_metrics import frechet_distance, kernel_distance
from evaluation.images import hold_out, report_accuracy, share_right
from evaluation.inception import Features, load_inception
from plots.images import save_grid
from system.errors import InputError
from system.precision import choose_precision
from system.values import POSITIVE, Whole

OURS, REAL = "ours", "real images"
BATCH = 128  # of train.py
PROBE = 140  # steps to measure our own speed, which takes about 30 seconds
AT_ONCE = 250  # samples in a batch of a rival
SHOWN = 64  # samples in a picture
SAMPLERS = {  # for our own models: the fast one, and the best one after long runs
    "dpmpp20": ("--sampler", "dpmpp"),
    "dpmpp50_eta1": ("--sampler", "dpmpp", "--steps", 50, "--eta", 1),
}


class Variant(NamedTuple):
    """One of our own runs: its network, and the seed of its training."""

    network: str
    seed: int


class Trained(NamedTuple):
    """The columns of a row besides its figures; `budget` is in minutes, `seconds` is measured, or
    follows from --rates."""

    model: str
    recipe: str
    seed: int
    budget: float
    seconds: float
    steps: int


COLUMNS = (*Trained._fields, "fid", "kid", "dataset", "features", "samples")  # of rows.csv


class Judge(NamedTuple):
    """Compares samples with real images, and writes the results.

    Attributes:
        features: a function from images to the features in which they are compared.
        reference: the features of real images.
        folder: for the pictures and the rows.
        measured: the dataset, the kind of features and the number of samples, for rows.csv.
    """

    features: Features
    reference: Tensor
    folder: Path
    measured: tuple[str, str, int]

    def score(self, pixels: Tensor) -> tuple[float, float]:
        """FID, and 1000 times the KID, of images, uint8."""
        found = self.features(pixels)
        return (
            frechet_distance(found, self.reference),
            1000 * kernel_distance(found, self.reference),
        )

    def report(self, row: Trained, pixels: Tensor) -> None:
        """Print and record the row of a model, and draw the first of its samples."""
        fid, kid = self.score(pixels)
        shown = "**this project**" if row.model == OURS else row.model
        minutes = f"{row.seconds / 60:.1f}"
        cells = (
            shown,
            row.recipe,
            str(row.seed),
            minutes,
            f"{row.steps:,}",
            f"{fid:.2f}",
            f"{kid:.1f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
        self.note((*row, fid, kid))
        words = f"{row.model} {row.steps} steps {row.recipe} seed {row.seed}"
        title = f"{row.model}: {row.recipe}, {minutes} minutes, {row.steps:,} steps"
        self.draw("_".join(words.replace(",", "").split()), pixels, title)

    def note(self, row: tuple) -> None:
        """Add a row to rows.csv."""
        path = self.folder / "rows.csv"
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            row = (*row, *self.measured)
            writer.writerows([row] if begun else [COLUMNS, row])

    def draw(self, words: str, pixels: Tensor, title: str) -> None:
        save_grid(pixels[:SHOWN], self.folder / f"{words}.png", title)


def prepare(train: Dataset, test: Dataset, args: argparse.Namespace) -> tuple[Judge, Tensor]:
    """The judge, and real images, uint8, that it has not seen.

    Raises:
        InputError: the dataset has no classes, so there are no features to compare in.
    """
    measured = (train.name, args.features, args.num_samples)
    if args.features == "inception":
        features, reference = load_inception("cpu"), train.examples
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        return Judge(features, features(reference), args.folder, measured), test.examples[order]
    if train.classes < 2:
        raise InputError(f"{train.name} has no classes to compare by; use --features inception")
    kept, held = hold_out(train)
    model = load_classifier(kept, args.data_dir)
    of_test, classes = classify(model, test.examples, "cpu")
    report_accuracy(share_right(classes, test.labels))

    def features_of(pixels: Tensor) -> Tensor:
        return classify(model, pixels, "cpu")[0]

    return Judge(features_of, of_test, args.folder, measured), held.examples


def compete(name: str, data: Dataset, args: argparse.Namespace, judge: Judge) -> None:
    """Train a rival, and evaluate it at every budget."""
    torch.manual_seed(0)
    rival = RIVALS[name](data.shape)
    rival.batch = args.batch or rival.batch
    rival.reduced = choose_precision("auto", "images", torch.device("cpu")) == "bf16"
    order, spent = torch.empty(0, dtype=torch.int64), 0.0
    for minutes in args.minutes:
        while spent < 60 * minutes:
            start = time.perf_counter()
            if len(order) < rival.batch:
                order = torch.randperm(len(data))
            batch, order = order[: rival.batch], order[rival.batch :]
            rival.step(to_unit(data.examples[batch]))
            spent += time.perf_counter() - start
        for sampler in rival.samplers:
            pixels = samples_of(rival, args.num_samples, sampler)
            recipe = f"{rival.recipe}, batch {rival.batch}, {sampler}"
            judge.report(Trained(name, recipe, 0, minutes, spent, rival.steps), pixels)


def samples_of(rival: Rival, count: int, sampler: str) -> Tensor:
    """Images, uint8, by a rival."""
    rival.model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=rival.reduced):
        parts = [
            rival.sample(min(AT_ONCE, count), sampler) for _ in range(math.ceil(count / AT_ONCE))
        ]
    rival.model.train()
    return to_pixels(torch.cat(parts)[:count])


def train_ours(
    variant: Variant, steps: int, data: Dataset, args: argparse.Namespace, folder: Path
) -> tuple[float, int]:
    """Train for about this many steps; return the seconds, from history.csv, and the actual steps.

    A run has whole epochs of equal length. So the number of images in an epoch is chosen to give
    the right number of steps.
    """
    size = min(BATCH, len(data))
    most = len(data) // size
    epochs = math.ceil(steps / most)
    each = round(steps / epochs)
    options = ["--dataset", data.name, "--data_dir", args.data_dir, "--epochs", epochs]
    options += ["--model", variant.network, "--seed", variant.seed]
    if each < most:
        options += ["--subset", each * size]
    if args.image_size is not None:
        options += ["--image_size", args.image_size]
    # Pictures and checkpoints before the last step would count as training time.
    rarely = ("--sample_interval", epochs, "--save_interval", epochs)
    script("train.py", *options, *rarely, "--quiet", "--output_dir", folder)
    with (folder / "history.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    return float(last["seconds"]), int(last["step"])


def steps_a_minute(network: str, data: Dataset, args: argparse.Namespace) -> float:
    """The training speed of one of our networks, from --rates or from a short run."""
    if args.rates is not None:
        return 60 * args.rates[args.networks.index(network)] / BATCH
    folder = args.folder / f"probe_{network}"
    seconds, steps = train_ours(Variant(network, 0), PROBE, data, args, folder)
    return 60 * steps / seconds


def compete_ourselves(data: Dataset, args: argparse.Namespace, judge: Judge) -> None:
    """Train a new model for each budget, since the learning rate falls over the run."""
    speeds = {network: steps_a_minute(network, data, args) for network in args.networks}
    for seed, minutes, network in itertools.product(args.seeds, args.minutes, args.networks):
        name = f"{Path(data.name).stem}_{network}_{minutes:g}_minutes_seed_{seed}"
        folder = args.folder / name
        wanted = max(1, round(speeds[network] * minutes))
        seconds, steps = train_ours(Variant(network, seed), wanted, data, args, folder)
        if args.rates is not None:  # other work may have slowed down the run
            seconds = 60 * steps / speeds[network]
        for sampler in args.samplers:
            made = folder / "samples.npy"
            options = ("--checkpoint", folder / "model_final.pt", *SAMPLERS[sampler])
            many = ("--num_images", args.num_samples, "--seed", seed, "--quiet", "--output", made)
            script("sample.py", *options, *many)
            pixels = torch.from_numpy(np.load(made))
            recipe = f"{network}, {sampler}"
            judge.report(Trained(OURS, recipe, seed, minutes, seconds, steps), pixels)


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--minutes", type=float, nargs="+", default=[1, 2, 5, 10, 20], metavar="M", help="ascending"
    )
    parser.add_options((names.DATASET, DATA_DIR, names.IMAGE_SIZE))
    add("--num_samples", type=Whole(2).parse, default=1000, metavar="N", help="samples of each")
    features, known = ("classifier", "inception"), (OURS, *RIVALS)
    add("--features", choices=features, default=features[0], help="as in evaluate.py")
    models = f"some of: {', '.join(known)} (default: all)"
    add("--models", nargs="+", choices=known, metavar="NAME", help=models)
    batch = "batch size of the rivals (default: their own)"
    add("--batch", type=POSITIVE.parse, metavar="N", help=batch)
    networks = names.models_for("images")
    add("--networks", nargs="+", choices=networks, default=["unet"], help="our networks")
    add("--seeds", type=int, nargs="+", default=[0], metavar="N", help="seeds of our runs")
    known_rates = "training speeds of --networks in images/s, if the machine is too busy to measure"
    add("--rates", type=float, nargs="+", metavar="R", help=known_rates)
    add("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS), help="for our models")
    add("--folder", type=Path, default=Path("outputs/budgets"), metavar="DIR", help="for results")
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    args.models = args.models or (OURS, *RIVALS)
    if args.minutes != sorted(args.minutes) or args.minutes[0] <= 0:
        parser.error("--minutes must be positive and ascending")
    if args.rates and (len(args.rates) != len(args.networks) or min(args.rates) <= 0):
        parser.error("--rates must be positive, one for each of --networks")
    settings = ImageSettings(image_size=args.image_size)
    try:
        if names.kind_of(args.dataset) == "points":
            raise InputError(f"--dataset {args.dataset}: images are needed, not points")
        train, test = (
            load_images(args.dataset, args.data_dir, train=part, settings=settings)
            for part in (True, False)
        )
        if train.shape[-1] % SIDES and set(args.models) != {OURS}:
            raise InputError(f"rivals need --image_size to be a multiple of {SIDES}")
        judge, real = prepare(train, test, args)
    except InputError as error:
        parser.error(str(error))
    print("| model | recipe | seed | minutes | steps | FID | KID x 1000 |\n" + "|---" * 7 + "|")
    for name in args.models:
        if name == OURS:
            compete_ourselves(train, args, judge)
        else:
            compete(name, train, args, judge)
    real = real[: args.num_samples]
    fid, kid = judge.score(real)
    print(f"| real images | | | | | {fid:.2f} | {kid:.1f} |")
    judge.note((REAL, "", "", "", "", "", fid, kid))
    judge.draw("real", real, f"{len(real):,} real images")


if __name__ == "__main__":
    main()
