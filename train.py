"""Train a diffusion model of images.

python train.py                                  MNIST, 20 epochs, into outputs/
python train.py --dataset digits --epochs 2      needs no download
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cli


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser("Train a diffusion model of images.")
    cli.add_data_options(parser)
    add_training_options(parser)
    add_model_options(parser)
    cli.add_schedule_options(parser)
    add_output_options(parser)
    cli.add_device_option(parser)
    cli.add_seed_option(parser)
    args = parser.parse_args(argv)
    cli.check_schedule_options(args)
    return args


def add_training_options(parser: cli.Parser) -> None:
    add, positive = parser.add_argument, cli.positive_int
    add("--subset", type=positive, metavar="N", help="train on the first N examples only")
    add(
        "--epochs",
        "--num_epochs",
        type=positive,
        default=20,
        metavar="N",
        help="passes over the data",
    )
    add(
        "--batch_size",
        "--train_batch_size",
        type=positive,
        default=128,
        metavar="N",
        help="images in one step",
    )
    add(
        "--lr",
        "--learning_rate",
        type=cli.number(0, 1),
        default=2e-4,
        metavar="LR",
        help="learning rate of AdamW",
    )
    add(
        "--lr_schedule",
        choices=("constant", "cosine"),
        default="constant",
        help="constant, or falling to zero along a cosine",
    )
    add(
        "--grad_clip",
        type=cli.number(0, float("inf"), low_included=True),
        default=1.0,
        metavar="NORM",
        help="largest norm of the gradient; 0 for no limit",
    )
    add(
        "--ema_decay",
        type=cli.number(0, 0.999999, low_included=True),
        default=0.999,
        metavar="DECAY",
        help="decay of the weights' moving average; 0 for none",
    )


def add_model_options(parser: cli.Parser) -> None:
    add = parser.add_argument
    add(
        "--base_channels",
        type=cli.whole_number(1, 1024),
        default=64,
        metavar="C",
        help="width of the U-Net",
    )
    add(
        "--prediction",
        type=cli.one_of("prediction", cli.PREDICTIONS),
        default="eps",
        metavar="NAME",
        help="what the network predicts: eps (the noise), x0 or v",
    )


def add_output_options(parser: cli.Parser) -> None:
    add, positive = parser.add_argument, cli.positive_int
    add(
        "--output_dir",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="folder for everything that the run writes",
    )
    add(
        "--num_samples",
        "--eval_batch_size",
        type=positive,
        default=64,
        metavar="N",
        help="samples in the picture after an epoch",
    )
    add(
        "--sample_interval",
        type=positive,
        default=1,
        metavar="EPOCHS",
        help="draw samples every so many epochs",
    )
    add(
        "--save_interval",
        type=positive,
        default=5,
        metavar="EPOCHS",
        help="save a checkpoint every so many epochs",
    )


def make_config(args: argparse.Namespace, dataset: str) -> dict[str, Any]:
    """Every option of the run, plus what rebuilds the model without them: config.json."""
    config = {
        name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()
    }
    return {**config, "kind": "images", "dataset": dataset, "model": "unet"}


def main() -> None:
    args = parse_arguments()
    # Imported only now, so that --help and wrong usage answer at once.
    import torch

    from datasets import load_images
    from diffusion import make_diffusion
    from models import build_model
    from training import Trainer
    from utils import check_writable, choose_device, set_earlier_run_aside, write_json

    device = choose_device(args.device)
    check_writable(args.output_dir)
    data = load_images(args.dataset, args.data_dir, subset=args.subset)
    torch.manual_seed(args.seed)
    config = make_config(args, data.name)
    model = build_model(config)
    trainer = Trainer(model, make_diffusion(config, device), data, args, config, device)

    if aside := set_earlier_run_aside(args.output_dir):
        print(f"moved the earlier run in {args.output_dir} to {aside}")
    write_json(args.output_dir / "config.json", config)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{data.name}: {len(data):,} images; U-Net with {size:.2f} M parameters on {device}")
    print(f"{args.epochs} epochs of {trainer.steps_per_epoch} steps, batch {trainer.batch_size}")
    sys.stdout.flush()
    trainer.run()
    print(f"wrote {args.output_dir / 'model_final.pt'}, samples/, training_loss.png, history.csv")


if __name__ == "__main__":
    cli.run(main)
