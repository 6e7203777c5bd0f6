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
import cli.parser
import cli.terminal

if TYPE_CHECKING:
    import torch

    from evaluation import Figures
    from system.distributed import Group

FEW = 5000  # samples below which FID is mostly bias


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.parser.Parser(__doc__)
    cli.options.add_checkpoint_option(parser)
    add = parser.section("comparison")
    add(
        "--num_samples",
        dest="num_images",
        type=cli.parser.whole_number(100, 1_000_000),
        default=10_000,
        metavar="N",
        help="how many samples to make; FID and the energy distance depend on it",
    )
    cli.options.add_sampler_options(parser, default="dpmpp")
    add(
        "--data_dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where image datasets are, and where the classifier that compares images is kept",
    )
    add(
        "--json",
        type=Path,
        default=Path("outputs/evaluation.json"),
        metavar="FILE",
        help="file for the figures; the picture goes beside it",
    )
    cli.options.add_machine_options(parser)
    cli.options.add_seed_option(parser)
    cli.terminal.add_verbosity_options(parser)
    args = parser.parse_args(argv)
    cli.options.check_sampler_options(args, default="dpmpp")
    cli.options.check_suffix(args.json, (".json",), "--json")
    return args


def evaluate(args: argparse.Namespace, device: torch.device, group: Group) -> None:
    """Make samples, compare them with data, and write and print the figures."""
    from evaluation.images import evaluate_images
    from evaluation.points import evaluate_points
    from guidance import in_proportion
    from plots.pictures import PointPictures
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
    config, pictures = trained.config, trained.pictures
    if isinstance(pictures, PointPictures):
        figures = evaluate_points(samples, config, pictures, picture)
    else:
        figures = evaluate_images(
            samples, config["dataset"], args.data_dir, picture, device, labels
        )
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
