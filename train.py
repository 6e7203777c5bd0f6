"""Train a diffusion model of images or of 2-D points.

python train.py                                  MNIST, 20 epochs, into outputs/
python train.py --dataset digits --epochs 2      needs no download
python train.py --dataset dino                   points, in seconds
python train.py --dataset drawing.csv            your own points
python train.py --resume --epochs 40             go on with the run in outputs/
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli.terminal
from cli.config import read_config
from cli.train_options import FIXED, OPTIONS, parse_arguments
from names import kind_of
from system.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset
    from system.distributed import Group
    from training.loop import Trainer


def make_config(args: argparse.Namespace, dataset: str) -> dict[str, Any]:
    """Every option of the run, and what rebuilds the model without them: config.json."""
    options = {option.name: getattr(args, option.name) for option in OPTIONS}
    config = {name: str(x) if isinstance(x, Path) else x for name, x in options.items()}
    derived = {name: x for name, x in config.items() if name not in args.given and x is not None}
    derived.pop("dataset", None)  # which it is can depend on the network
    return {**config, "kind": kind_of(dataset), "dataset": dataset, "derived": derived}


def label_counts(data: Dataset) -> list[int]:
    """How many examples of each class there are.

    Raises:
        InputError: there is only one class.
    """
    from guidance import with_examples

    counts = data.labels.bincount().tolist()
    if len(with_examples(counts)) < 2:
        raise InputError(f"--class_conditional: these {len(data):,} examples are all of one class")
    return counts


def is_its_own(checkpoint: Path, folder: Path, config: dict[str, Any]) -> bool:
    """Whether a checkpoint was written by the run in `folder`.

    Args:
        config: of the run that goes on from the checkpoint.
    """
    if checkpoint.resolve().parent != (folder / "checkpoints").resolve():
        return False
    try:
        there = read_config(folder / "config.json")
    except InputError:  # a damaged one is none
        return False
    return all(name in there and there[name] == config[name] for name in FIXED)


def make_trainer(args: argparse.Namespace, group: Group | None = None) -> Trainer:
    """Everything that the options ask for, loaded, built and seeded; nothing is written yet.

    Args:
        group: the processes that train together; None for this one alone.
    """
    import torch

    from datasets import load_dataset
    from datasets.units import PointUnits, make_units
    from diffusion import make_diffusion
    from models import build_model
    from system.distributed import Group
    from training.loop import Trainer
    from training.saving import restore
    from utils import choose_device

    device, group = choose_device(args.device), group or Group()
    with group.leader_first():  # which downloads what is not there
        data = load_dataset(args)
    config = make_config(args, data.name)
    config["label_counts"] = label_counts(data) if args.class_conditional else []
    if config["kind"] == "points":
        if bool((data.examples == data.examples[0]).all()):
            raise InputError("--subset: all points are at one place, so there is nothing to learn")
        units = PointUnits.standardising(data.examples)
        config.update(mean=units.mean.tolist(), scale=units.scale)
    torch.manual_seed(args.seed)
    try:
        model, diffusion = build_model(config), make_diffusion(config, device)
    except ValueError as error:
        raise InputError(f"--schedule {args.schedule}: {error}") from None
    trainer = Trainer(model, diffusion, data, make_units(config), args, config, device, group)
    if args.resume is not None:
        restore(trainer, args.resume)
    return trainer


def prepare_folder(args: argparse.Namespace, config: dict[str, Any]) -> None:
    """Make the output folder ready for the run, without losing an earlier one."""
    from system.files import remove_leftovers, set_earlier_run_aside

    folder: Path = args.output_dir
    remove_leftovers(folder)
    if args.resume is not None and is_its_own(args.resume, folder, config):
        return
    if aside := set_earlier_run_aside(folder):
        print(f"moved the earlier run in {folder} to {aside}")


def check_something_is_left(trainer: Trainer) -> None:
    """Refuse to resume a run that has come as far as it should, unless it died before its end.

    Raises:
        InputError: saying how to go on.
    """
    done, wanted = trainer.epoch - 1, trainer.options.epochs
    ended = done == wanted and (trainer.folder / "model_final.pt").exists()
    if done > wanted or ended or (done == wanted and trainer.position > 0):
        raise InputError(
            f"--resume: this run has done its {wanted} epochs and is in epoch {trainer.epoch}; to"
            " go on, give it more with --epochs"
        )


def announce(trainer: Trainer) -> None:
    """Two lines: what is trained on what, and for how long."""
    from models import describe

    config, options = trainer.config, trainer.options
    network = describe(config, trainer.model)
    together = f" in {trainer.group.size} processes" if trainer.group.size > 1 else ""
    print(
        f"{config['dataset']}: {len(trainer.examples):,} {config['kind']}; {network} on"
        f" {trainer.device}{together}, {trainer.precision}"
    )
    going_on = f", from epoch {trainer.epoch} on" if trainer.step else ""
    print(
        f"{options.epochs} epochs of {trainer.steps_per_epoch} steps, batch"
        f" {trainer.batch_size}{going_on}",
        flush=True,
    )


def train(args: argparse.Namespace, group: Group) -> None:
    """The whole run, in one of the processes that train together."""
    from system.files import check_writable, locked, write_json

    folder: Path = args.output_dir
    with ExitStack() as stack:
        if group.leads:
            check_writable(folder)
            stack.enter_context(locked(folder))
        trainer = make_trainer(args, group)
        if args.resume:
            check_something_is_left(trainer)
        if group.leads:
            prepare_folder(args, trainer.config)
            write_json(folder / "config.json", trainer.config)
        announce(trainer)
        trainer.run()
    print(f"wrote {folder / 'model_final.pt'}, samples/, training_loss.png, history.csv")


def main() -> None:
    args = parse_arguments(sys.argv[1:], __doc__)
    cli.terminal.set_verbosity(args)
    # Imported only now, so that --help and wrong usage answer at once.
    from system.distributed import start
    from utils import choose_device

    with start(choose_device(args.device)) as group:
        train(args, group)


if __name__ == "__main__":
    cli.terminal.run(main)
