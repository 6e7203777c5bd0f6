"""How good are a model's samples? Figures beside the same figures for real data, and a picture.

python evaluate.py                                      10,000 samples of outputs/model_final.pt
python evaluate.py --num_samples 2000 --sampler ddpm    other samples
python evaluate.py --checkpoint runs/dino/model_final.pt --json runs/dino/evaluation.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cli.options
import cli.terminal
from cli.parser import Parser
from names import SEED
from system.options import Option
from system.values import File, Whole

if TYPE_CHECKING:
    import torch

    from evaluation.comparison import Figures
    from system.distributed import Group

FEW = 5000  # samples below which FID is mostly bias


COMPARISON = (
    Option(
        "num_samples",
        Whole(100, 1_000_000),
        "how many samples to make; FID and the energy distance depend on it",
        default=10_000,
        dest="num_images",
    ),
    Option(
        "data_dir",
        File(),
        "where image datasets are, and where the classifier that compares images is kept",
        metavar="DIR",
        default=Path("data"),
    ),
    Option(
        "json",
        File(),
        "file for the figures; the picture goes beside it",
        default=Path("outputs/evaluation.json"),
    ),
)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_options((cli.options.CHECKPOINT,))
    parser.add_options(COMPARISON, "comparison")
    parser.add_options(cli.options.sampling("dpmpp"), "sampling")
    parser.add_options(cli.options.MACHINE, "machine")
    parser.add_options((SEED,), "randomness")
    cli.terminal.add_verbosity_options(parser)
    args = parser.parse_args(argv)
    cli.options.check_sampler_options(args, default="dpmpp")
    cli.options.check_suffix(args.json, (".json",), "--json")
    return args


def evaluate(args: argparse.Namespace, device: torch.device, group: Group) -> None:
    """Make samples, compare them with data, and write and print the figures."""
    from evaluation.comparison import evaluate_images, evaluate_points
    from guidance import in_proportion
    from sampling.generation import denoising_timesteps, generate, prepare_network, restore
    from system.files import check_writable, write_json

    check_writable(args.json.parent)
    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    picture = args.json.with_suffix(".png")
    inputs = [trained.path, args.guide, trained.config["dataset"]]
    cli.options.check_outputs([args.json, picture], inputs)
    timesteps = denoising_timesteps(args.sampler, args.timesteps, len(trained.diffusion.schedule))
    precision = prepare_network(trained, args, len(timesteps), device)
    made_by = f"{cli.options.made_by(args, len(timesteps))}, {precision}"
    print(f"{args.num_images:,} {trained.kind}, {made_by}", flush=True)
    if trained.kind == "images" and args.num_images < FEW:
        print(f"with fewer than {FEW:,} samples FID is too high; compare at equal numbers only")
    counts = trained.config["label_counts"]
    labels = in_proportion(counts, args.num_images) if counts else None
    samples = generate(trained, args, timesteps, device, labels=labels, group=group)
    if not group.leads:
        return
    where = (args.data_dir, picture, device)
    if trained.kind == "images":
        figures = evaluate_images(samples, trained, *where, labels)
    else:
        figures = evaluate_points(samples, trained, *where)
    content = {
        "checkpoint": str(trained.path),
        "num_samples": args.num_images,
        "made_by": made_by,
        "figures": {name: {"samples": a, "real": b} for name, (a, b) in figures.items()},
    }
    report(figures)
    write_json(args.json, content)
    print(f"\nwrote {args.json}, {picture}")


def report(figures: Figures) -> None:
    """Print a table."""
    width = max(map(len, figures))
    print(f"\n{'':{width}}  {'samples':>10}  {'real data':>10}")
    for name, (value, floor) in figures.items():
        print(f"{name:{width}}  {value:10.4g}  {floor:10.4g}")


def main() -> None:
    args = parse_arguments()
    cli.terminal.set_verbosity(args)
    from system.distributed import start
    from utils import choose_device

    device = choose_device(args.device)
    with start(device) as group:
        evaluate(args, device, group)


if __name__ == "__main__":
    cli.terminal.run(main)
