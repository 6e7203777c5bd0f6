"""Train a diffusion model of images or of 2-D points.

python train.py                                  MNIST, 20 epochs, into outputs/
python train.py --dataset digits --epochs 2      needs no download
python train.py --dataset dino                   points, in seconds
python train.py --dataset drawing.csv            your own points
python train.py --resume --epochs 40             continue the run in outputs/
python train.py --consistency outputs/model_final.pt    tune that model to sample in one step
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli.advice
import cli.terminal
from cli.config import read_config
from cli.parser import settings as settings_of
from cli.train_options import FIXED, OPTIONS, fill_by_size, parse_arguments
from names import CONSISTENCY, FACTS, LEARNED
from system.errors import InputError
from system.words import counted

if TYPE_CHECKING:
    from datasets import Dataset
    from system.distributed import Group
    from system.options import Option
    from training.loop import Trainer
    from training.run import Run


def make_config(args: argparse.Namespace) -> dict[str, Any]:
    """The options in config.json: those that the user chose, and those derived from them."""
    options = {option.name: getattr(args, option.name) for option in OPTIONS}
    config = {name: str(x) if isinstance(x, Path) else x for name, x in options.items()}
    derived = {name: x for name, x in config.items() if name not in args.given and x is not None}
    derived.pop("dataset", None)  # the default dataset can depend on the internet connection
    return {**config, "derived": derived}


def facts_of(data: Dataset, class_conditional: bool) -> dict[str, Any]:
    """The rest of config.json: facts about the data that a network and its samples depend on.

    Raises:
        InputError: there is nothing to learn from the data.
    """
    if data.kind == "points" and bool((data.examples == data.examples[0]).all()):
        raise InputError("--subset: all points are in one place, so there is nothing to learn")
    counts = label_counts(data) if class_conditional else []
    return {"dataset": data.name, **data.facts(), "label_counts": counts}


def label_counts(data: Dataset) -> list[int]:
    """The number of examples of each class.

    Raises:
        InputError: there is only one class.
    """
    from guidance import with_examples

    counts = data.labels.bincount().tolist()
    if len(with_examples(counts)) < 2:
        raise InputError(
            f"--class_conditional: these {len(data):,} examples all have the same class"
        )
    return counts


def is_its_own(checkpoint: Path, folder: Path, config: dict[str, Any]) -> bool:
    """Whether a checkpoint was written by the run in `folder`.

    Args:
        config: of the run that resumes from the checkpoint.
    """
    if checkpoint.resolve().parent != (folder / "checkpoints").resolve():
        return False
    try:
        there = read_config(folder / "config.json")
    except InputError:  # a damaged file counts as missing
        return False

    def is_same(option: Option) -> bool:
        now = config[option.name]
        if option.name in there:
            return there[option.name] == now
        # The option is newer than the run, or does not apply to these data.
        return now is None or now is False or now == option.default

    return all(map(is_same, FIXED))


def make_trainer(args: argparse.Namespace, group: Group | None = None) -> Trainer:
    """A trainer for these options, with data and network; nothing is written yet.

    Args:
        group: the processes that train together; None for this process alone.
    """
    from checkpoints import load_checkpoint
    from datasets import load_dataset
    from datasets.settings import ImageSettings, PointSettings
    from diffusion import make_diffusion
    from system.distributed import Group
    from training.loop import Trainer
    from training.run import Run
    from training.settings import TrainSettings
    from utils import choose_device

    device, group = choose_device(args.device), group or Group()
    with group.leader_first():  # so that only one process downloads
        data = load_dataset(
            args.dataset,
            args.data_dir,
            args.subset,
            settings_of(PointSettings, args),
            settings_of(ImageSettings, args),
        )
    fill_by_size(args, len(data), group.size)
    config = make_config(args) | facts_of(data, args.class_conditional)
    if args.schedule == LEARNED and args.objective == CONSISTENCY:  # tuning keeps the schedule
        earlier = load_checkpoint(args.consistency or args.resume)
        config["timestep_density"] = earlier["config"]["timestep_density"]
    settings = settings_of(TrainSettings, args)
    try:
        diffusion = make_diffusion(config, device)
    except ValueError as error:
        raise InputError(f"--schedule {args.schedule}: {error}") from None
    try:
        run = Run(data, config, diffusion, settings, group)
    except ValueError as error:
        raise InputError(f"--model {args.model}: {error}") from None
    if args.resume is not None:
        run.restore(args.resume)
    elif args.consistency is not None:
        start_tuning(run, args.consistency)
    return Trainer(run)


def start_tuning(run: Run, path: Path) -> None:
    """Begin with the averaged weights of a trained model.

    Raises:
        InputError: the model was trained on other data.
    """
    from checkpoints import load_checkpoint

    checkpoint = load_checkpoint(path)
    for fact in FACTS:
        if fact != "derived" and run.config.get(fact) != checkpoint["config"].get(fact):
            raise InputError(f"--consistency: the data differ from those of {path} in {fact}")
    run.start_from(checkpoint["ema"])


def prepare_folder(args: argparse.Namespace, config: dict[str, Any]) -> None:
    """Make the output folder ready for the run, without losing an earlier one."""
    from system.folders import remove_leftovers, set_earlier_run_aside

    folder: Path = args.output_dir
    remove_leftovers(folder)
    if args.resume is not None and is_its_own(args.resume, folder, config):
        return
    if aside := set_earlier_run_aside(folder):
        print(f"moved the earlier run in {folder} to {aside}")


def check_something_is_left(run: Run) -> None:
    """Refuse to resume a run that has done all its epochs, unless its final model is missing.

    Raises:
        InputError: it has; the message says how to continue.
    """
    done, wanted = run.epoch - 1, run.settings.epochs
    ended = done == wanted and (run.settings.output_dir / "model_final.pt").exists()
    if done > wanted or ended or (done == wanted and run.batches.position > 0):
        raise InputError(
            f"--resume: this run has already done {counted(done, 'epoch')}; to continue, set"
            f" --epochs to more than {done}"
        )


def announce(run: Run) -> None:
    """Print the data and the network, the length of the run, and a warning if it is short."""
    from models import describe

    config, batches = run.config, run.batches
    together = f" in {run.group.size} processes" if run.group.size > 1 else ""
    print(
        f"{config['dataset']}: {len(batches):,} {config['kind']}; {describe(run.model)} on"
        f" {run.device}{together}, {run.precision}"
    )
    if run.stages is not None:
        print("tuned for few steps, by consistency")
    going_on = f", from epoch {run.epoch} on" if run.step else ""
    print(
        f"{counted(run.settings.epochs, 'epoch')} of {counted(batches.per_epoch, 'step')}, batch"
        f" {batches.size}{going_on}"
    )
    if warning := cli.advice.too_short(run.total_steps, config):
        print(warning)
    sys.stdout.flush()


def train(args: argparse.Namespace, group: Group) -> None:
    """The whole run, in one of the processes that train together."""
    from system.files import check_writable, write_json
    from system.locks import locked

    folder: Path = args.output_dir
    with ExitStack() as stack:
        if group.leads:
            check_writable(folder)
            stack.enter_context(locked(folder))
        trainer = make_trainer(args, group)
        run = trainer.run
        if args.resume:
            check_something_is_left(run)
        if group.leads:
            prepare_folder(args, run.config)
            write_json(folder / "config.json", run.config)
        announce(run)
        trainer.train()
        if group.leads and run.learned is not None:  # the schedule has changed since
            write_json(folder / "config.json", run.config)
    print(f"wrote {folder / 'model_final.pt'}, samples/, training_loss.png, history.csv")
    print(f"next:\n{cli.advice.next_commands(run.config, folder)}")


def main() -> None:
    args = parse_arguments(sys.argv[1:], __doc__)
    cli.terminal.set_verbosity(args)
    # Imported only now, so that --help and usage errors appear at once.
    from system.distributed import start
    from utils import choose_device

    with start(choose_device(args.device)) as group:
        train(args, group)


if __name__ == "__main__":
    cli.terminal.run(main)
