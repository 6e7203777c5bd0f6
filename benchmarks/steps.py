"""Quality against the number of denoising steps, for every sampler: a table and a picture.

    python benchmarks/steps.py                                  for outputs/model_final.pt
    python benchmarks/steps.py --checkpoint FILE --num_samples 5000
    python benchmarks/steps.py --few outputs/consistency/model_final.pt      for that model, too

The table gives the FID of 2,000 samples against the test split, in the features of `evaluate.py`;
every row starts from the same noise. `evaluations` is the number of network evaluations for each
sample: two for each step of `heun`. The spacing `trailing` is even in t and is used by `sample.py`;
`lambda` is even in log(alpha / sigma), as Lu et al. 2022 (appendix) choose for their solver. Models
that were trained for few steps have their own sampler and timesteps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from diffusion import NoiseSchedule
from evaluation.classifier import classify, load_classifier
from evaluation.image_metrics import frechet_distance, kernel_distance
from evaluation.images import hold_out, load_reference
from guidance import in_proportion
from names import FEW_STEPS
from plots.figures import label_log_axis, save_figure
from samplers import timesteps_of, trailing_timesteps
from sampling import SampleSettings, Trained, generate, restore
from sampling.denoising import prepare_network
from system.distributed import start
from system.errors import InputError
from utils import choose_device

FRESH = "dpmpp, eta 1"
STEPS = {
    "ddpm": (10, 20, 50, 100, 250, 1000),
    "ddim": (2, 5, 10, 20, 50, 100, 250),
    "heun": (5, 10, 20, 50),
    "dpmpp": (2, 3, 5, 10, 15, 20, 30, 50, 100),
    FRESH: (10, 20, 30, 50, 100),
}
FEW = (1, 2, 4, 8)  # steps for models that were trained for few
TICKS = (1, 2, 5, 10, 20, 50, 100, 250, 1000)
LAMBDA_STEPS = {"ddim": (10, 20, 50), "heun": (5, 10, 20), "dpmpp": (5, 10, 15, 20, 30, 50)}


def lambda_timesteps(schedule: NoiseSchedule, steps: int) -> list[int]:
    """Decreasing timesteps, evenly spaced in log(alpha / sigma) as far as the table allows."""
    table = schedule.half_log_snr
    wanted = torch.linspace(table[-1].item(), table[0].item(), steps, dtype=torch.float64)
    nearest = (table[None, :] - wanted[:, None]).abs().argmin(1)
    return sorted(set(nearest.tolist()), reverse=True)


def plans(schedule: NoiseSchedule, most: int) -> Iterator[tuple[str, str, list[int]]]:
    """Every (spacing, sampler, timesteps) to measure, the cheap ones first."""
    for sampler, counts in STEPS.items():
        for steps in filter(lambda n: n <= most, counts):
            yield "trailing", sampler, trailing_timesteps(len(schedule), steps)
    for sampler, counts in LAMBDA_STEPS.items():
        for steps in filter(lambda n: n <= most, counts):
            yield "lambda", sampler, lambda_timesteps(schedule, steps)


def measured(
    trained: Trained,
    planned: Iterable[tuple[str, str, list[int]]],
    count: int,
    judge: Callable[[Tensor], tuple[float, float]],
) -> Iterator[tuple[str, str, int, float]]:
    """Print a row for each plan; yield its spacing, sampler, number of evaluations and FID.

    Args:
        judge: a function from samples to their FID and KID.
    """
    counts = trained.config["label_counts"]
    labels = in_proportion(counts, count) if counts else None
    trained, _ = prepare_network(trained, SampleSettings(count), compile="off")
    for spacing, sampler, timesteps in planned:
        name, eta = ("dpmpp", 1.0) if sampler == FRESH else (sampler, None)
        begun = time.perf_counter()
        samples = generate(trained, SampleSettings(count, name, timesteps, eta), labels)
        seconds = time.perf_counter() - begun
        distance, kernel = judge(samples)
        steps = len(timesteps)
        evaluations = 2 * steps - 1 if sampler == "heun" else steps
        figures = (f"{distance:.2f}", f"{1000 * kernel:.2f}", f"{seconds:.1f}")
        row = (sampler, spacing, str(steps), str(evaluations), *figures)
        print(f"| {' | '.join(row)} |", flush=True)
        yield spacing, sampler, evaluations, distance


def draw(found: dict[tuple[str, str], list[tuple[int, float]]], floor: float, path: Path) -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = {name: f"C{k}" for k, name in enumerate((*STEPS, *FEW_STEPS))}
    for (spacing, sampler), points in found.items():
        evaluations, distances = zip(*sorted(points), strict=True)
        style = "x:" if spacing == "lambda" else "o-"
        label = f"{sampler}, even in log(α / σ)" if spacing == "lambda" else sampler
        axes.plot(evaluations, distances, style, color=colours[sampler], label=label)
    axes.axhline(floor, color="0.6", linewidth=1, label="as many real images")
    axes.set(xscale="log", yscale="log", xlabel="evaluations of the network per sample")
    axes.set(ylabel="FID (lower is better)", title="Quality against cost of the samplers")
    counts = [evaluations for points in found.values() for evaluations, _ in points]
    ticks = [tick for tick in TICKS if min(counts) <= tick <= max(counts)]
    axes.set_xticks(ticks, list(map(str, ticks)))
    label_log_axis(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, metavar="FILE")
    add("--few", type=Path, nargs="+", default=[], metavar="FILE", help="models for few steps")
    add("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    add("--num_samples", type=int, default=2000, metavar="N")
    add("--most", type=int, default=1000, metavar="N", help="leave out rows with more steps")
    add("--picture", type=Path, default=Path("outputs/steps.png"), metavar="FILE")
    args = parser.parse_args()
    device, count = choose_device(), args.num_samples
    with start(device):
        trained = restore(args.checkpoint, device)
        train, test, *_ = load_reference(trained.config, args.data_dir, "classifier", device)
        kept, held = hold_out(train)
        model = load_classifier(kept, args.data_dir, device)
        of_test, _ = classify(model, test.examples, device)

        def judge(images: Tensor) -> tuple[float, float]:
            features, _ = classify(model, images, device)
            return frechet_distance(features, of_test), kernel_distance(features, of_test)

        floor, _ = judge(held.examples[:count])
        found: dict[tuple[str, str], list[tuple[int, float]]] = {}
        print("| sampler | spacing | steps | evaluations | FID | KID x 1000 | seconds |")
        print("|---|---|---|---|---|---|---|")
        runs = [(trained, plans(trained.diffusion.schedule, args.most))]
        for path in args.few:
            few = restore(path, device)
            if few.config["objective"] not in FEW_STEPS:
                raise InputError(f"--few: {path} was not trained for few steps")
            if few.config["dataset"] != trained.config["dataset"]:
                raise InputError(f"--few: {path} was trained on other data than --checkpoint")
            name, schedule = few.config["objective"], few.diffusion.schedule
            runs.append((few, [("own", name, timesteps_of(name, schedule, n)) for n in FEW]))
        for trained, planned in runs:
            for spacing, sampler, evaluations, distance in measured(trained, planned, count, judge):
                found.setdefault((spacing, sampler), []).append((evaluations, distance))
        print(f"real images: {floor:.2f}")
        draw(found, floor, args.picture)
    print(f"wrote {args.picture}")


if __name__ == "__main__":
    main()
