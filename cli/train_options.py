"""The options of train.py, which of them exclude each other, and what is derived from them.

The options that describe the model are in names.py.
"""

from __future__ import annotations

import argparse
import math
import os.path
from pathlib import Path

import cli.options
import cli.terminal
import names
from cli.config import (
    NEWEST,
    OUTPUT_DIR,
    as_arguments,
    read_config,
    resumed,
    tuned,
    without_derived,
)
from cli.options import fill, fill_or_refuse, refuse_given, refuse_others
from cli.parser import Parser
from cli.tables import options_of
from names import LEARNED, MODELS, SCHEDULES, is_own_images, kind_of, names_of
from system.errors import InputError
from system.options import ByData, Option, in_words
from system.values import NOT_NEGATIVE, POSITIVE, Choice, File, Flag, OneOf, Real, Whole

# The user's own images can be few or many, so their defaults count steps, not epochs.
OWN_STEPS, OWN_PICTURES, OWN_SAVES = 5000, 20, 5
LR = ByData(2e-3, 5e-3)
TUNING_EPOCHS, TUNING_LR = ByData(3, 300), ByData(1e-3, 2e-3)
COMMON = (
    "dataset epochs batch_size lr class_conditional model schedule prediction subset output_dir"
    " resume"
).split()
BY_SIZE = ("epochs", "sample_interval", "save_interval")

TRAINING = (
    names.SUBSET,
    names.HOLDOUT,
    names.FLIP,
    Option(
        "epochs",
        POSITIVE,
        "passes over the data",
        aliases=("num_epochs",),
        default=ByData(20, 200),
        default_text=f"20 for images, 200 for points; {OWN_STEPS:,} steps for your own images; with"
        f" --consistency {in_words(TUNING_EPOCHS)}",
        changeable=True,
    ),
    Option(
        "batch_size",
        POSITIVE,
        "examples in one step",
        aliases=("train_batch_size",),
        default=ByData(128, 1000),
        changeable=True,
    ),
    Option(
        "lr",
        Real(0, 1),
        "learning rate",
        aliases=("learning_rate",),
        metavar="LR",
        default=LR,
        default_text=f"{in_words(LR)}; with --consistency {in_words(TUNING_LR)}",
        changeable=True,
    ),
    Option(
        "optimizer",
        OneOf("optimizer", names.OPTIMIZERS),
        "adamw, or muon for the hidden layers and adamw for the rest",
        default_text=", ".join(f"{one.optimizer} for {name}" for name, one in MODELS.items()),
    ),
    Option(
        "lr_schedule",
        Choice(names.LR_SCHEDULES),
        "constant, or cosine, which falls to zero",
        default="cosine",
        changeable=True,
    ),
    Option(
        "grad_clip",
        NOT_NEGATIVE,
        "largest norm of the gradient; 0 for no limit",
        metavar="NORM",
        default=1.0,
        changeable=True,
    ),
    Option(
        "ema_decay",
        Real(0, 0.999999, low_included=True),
        "largest decay of the moving average of the weights, which covers about the last eighth of"
        " the run so far; 0 for no average",
        metavar="DECAY",
        default=ByData(0.9999, 0.99),
    ),
    names.OBJECTIVE,
    names.GUIDANCE,
    names.NO_TEACHER,
    names.LOSS_WEIGHTING,
    names.TIMESTEP_SAMPLING,
)
OF_NETWORKS = options_of(MODELS, "model", verb="is for")
NETWORK = (
    names.PREDICTION,
    names.MODEL,
    Option(
        "class_conditional",
        Flag(),
        "learn each class by its label, so that sampling can ask for a class",
    ),
    names.LABEL_DROPOUT,
    *OF_NETWORKS,
)
OUTPUT = (
    Option(
        "output_dir",
        File(),
        "folder for everything that the run writes",
        metavar="DIR",
        default_text=str(OUTPUT_DIR),
        changeable=True,
    ),
    Option(
        "num_samples",
        Whole(1, 10_000),
        "samples in the picture after an epoch",
        aliases=("eval_batch_size",),
        default=ByData(64, 1000),
        changeable=True,
    ),
    Option(
        "show_image_step",
        POSITIVE,
        "also draw how the samples emerge, with this many timesteps between pictures (in sample.py,"
        " denoising steps)",
        metavar="T",
        changeable=True,
    ),
    Option(
        "sample_interval",
        POSITIVE,
        "epochs between pictures of samples",
        metavar="EPOCHS",
        default=ByData(1, 20),
        default_text=f"1 for images, 20 for points; {OWN_PICTURES} pictures a run for your own"
        " images",
        changeable=True,
    ),
    Option(
        "save_interval",
        POSITIVE,
        "epochs between checkpoints",
        metavar="EPOCHS",
        default=ByData(5, 100),
        default_text=f"5 for images, 100 for points; {OWN_SAVES} checkpoints a run for your own"
        " images",
        changeable=True,
    ),
    Option(
        "save_every_minutes",
        Real(0, math.inf),
        "minutes between extra checkpoints, each of which replaces the last",
        metavar="MINUTES",
        changeable=True,
    ),
    Option(
        "keep_checkpoints",
        POSITIVE,
        "keep only the newest N of the checkpoints that are saved after epochs",
        default_text="all",
        changeable=True,
    ),
    Option(
        "tensorboard",
        Flag(),
        "also record losses and samples for TensorBoard, in the folder tensorboard/",
        changeable=True,
    ),
)
TUNING = Option(
    "consistency",
    File(),
    "tune the trained model in this file to sample in one or two steps; data, network and schedule"
    " stay the same, and the output goes into consistency/ beside it",
    metavar="CHECKPOINT",
)
RESUME = Option(
    "resume",
    File(),
    "continue an earlier run up to --epochs, from this checkpoint or, without a file, from the"
    " newest in the output folder",
    metavar="CHECKPOINT",
    bare=NEWEST,
)
CONFIG = Option(
    "config",
    File(),
    "read options from a .json file, such as a run's config.json; options on the command line"
    " override it",
)
# The options of a run, which config.json contains. The others say where options come from.
OPTIONS = (
    *cli.options.DATA,
    *TRAINING,
    *NETWORK,
    *cli.options.SCHEDULE,
    *OUTPUT,
    *cli.options.MACHINE,
    names.SEED,
)
# The options that cannot change when a run is resumed. Its length, speed and device can change, and
# what it writes and when.
FIXED = tuple(option for option in OPTIONS if not option.changeable)
# Those of them that can change when a model is tuned. (Not the seed, which determines the points.)
FREE_IN_TUNING = {"objective", "guidance", "no_teacher", "optimizer", "ema_decay"}


def make_parser(document: str) -> Parser:
    """The parser of train.py, with its options by section."""
    parser = Parser(document, COMMON)
    parser.add_options(cli.options.DATA, "data")
    parser.add_options(TRAINING, "training")
    parser.add_options(NETWORK, "network")
    parser.add_options(cli.options.SCHEDULE, "noise schedule")
    parser.add_options((*OUTPUT, TUNING, RESUME), "output, tuning and resuming")
    parser.add_options(cli.options.MACHINE, "machine")
    parser.add_options((names.SEED,), "randomness")
    cli.terminal.add_verbosity_options(parser)
    parser.add_options((CONFIG,), "options from a file")
    return parser


def parse_arguments(argv: list[str], document: str = "") -> argparse.Namespace:
    """The options of a run, checked; only those of `BY_SIZE` may still have to be filled in.

    Args:
        document: the text for `--help`, see `cli.parser.Parser`.
    """
    parser = make_parser(document)
    args, given = parser.parse_args(argv), argv
    if args.consistency is not None:
        fixed = [name for name in names_of(FIXED) if name not in FREE_IN_TUNING]
        args, given = tuned(parser, args, argv, fixed)
    elif args.resume is not None:
        args, given = resumed(parser, args, argv, names_of(FIXED))
    elif args.config is not None:
        options = without_derived(read_config(args.config), parser.given(argv))
        given = as_arguments(parser, options, args.config) + argv
        args = parser.parse_args(given)
    args.given = parser.given(given)
    args.output_dir = args.output_dir or OUTPUT_DIR
    fill_defaults(args)
    cli.options.check_data_options(args)
    check_output_is_outside(args)
    fill_or_refuse(args, names.HOLDOUT, is_own_images(args.dataset or ""))
    fill_or_refuse(args, names.FLIP, kind_of(args.dataset) == "images")
    cli.options.check_schedule_options(args)
    check_pure_noise(args)
    check_few_steps(args)
    fill_network(args)
    return args


def fill_defaults(args: argparse.Namespace) -> None:
    """Set the options that were not given and whose defaults depend on the data or the others."""
    cli.options.fill_schedule(args)
    if args.objective == names.CONSISTENCY:
        fill_tuning(args)
    if args.schedule == LEARNED and args.timestep_sampling is None:
        args.timestep_sampling = "uniform"  # the schedule itself learns which timesteps matter
    by_data = [option for option in OPTIONS if isinstance(option.default, ByData)]
    if is_own_images(args.dataset or ""):
        by_data = [option for option in by_data if option.name not in BY_SIZE]
    fill(args, by_data, kind_of(args.dataset))
    if args.loss_weighting is None:
        # With x0 prediction, inverse_sigma makes the loss the error of v (docs/MATH.md, section 3).
        args.loss_weighting = "inverse_sigma" if args.prediction == "x0" else "uniform"


def fill_tuning(args: argparse.Namespace) -> None:
    """Set the epochs and the learning rate for tuning a model, if they were not given."""
    kind = kind_of(args.dataset)
    args.lr = args.lr or getattr(TUNING_LR, kind)
    if not is_own_images(args.dataset or ""):
        args.epochs = args.epochs or getattr(TUNING_EPOCHS, kind)


def fill_by_size(args: argparse.Namespace, examples: int, processes: int) -> None:
    """Set the remaining options: those that depend on the number of the user's own images."""
    per_epoch = max(1, examples // (args.batch_size * processes))
    args.epochs = args.epochs or math.ceil(OWN_STEPS / per_epoch)
    args.sample_interval = args.sample_interval or math.ceil(args.epochs / OWN_PICTURES)
    args.save_interval = args.save_interval or math.ceil(args.epochs / OWN_SAVES)


def check_output_is_outside(args: argparse.Namespace) -> None:
    """Refuse an output folder within the folder of training pictures.

    Raises:
        InputError: it is; the message names both.
    """
    folder = args.dataset or ""
    if not is_own_images(folder) or not os.path.isdir(folder):
        return
    if args.output_dir.resolve().is_relative_to(Path(folder).resolve()):
        raise InputError(
            f"--output_dir {args.output_dir} is in {folder}, so the next run would learn from the"
            " pictures of samples; choose a folder outside it"
        )


def check_pure_noise(args: argparse.Namespace) -> None:
    """Refuse options that do not work with a schedule that ends in pure noise.

    Raises:
        InputError: there are such options; the message names them.
    """
    if not SCHEDULES[args.schedule].ends_in_pure_noise:
        return
    if args.prediction == "eps":
        raise InputError(
            f"--prediction eps is not possible with --schedule {args.schedule}: at its last"
            " timestep x is pure noise, and eps says nothing about the data; use v or x0"
        )
    if args.loss_weighting == "min_snr":
        raise InputError(
            f"--loss_weighting min_snr is not possible with --schedule {args.schedule}: its weights"
            f" depend on the signal, and the last timesteps of {args.schedule} have none"
        )


def check_few_steps(args: argparse.Namespace) -> None:
    """Refuse options that training for few steps does not support, or that need tuning.

    Raises:
        InputError: there are such options; the message names them.
    """
    if args.objective == names.SHORTCUT and args.schedule == LEARNED:
        raise InputError(
            f"--schedule {LEARNED} is not possible with --objective {args.objective}: the noise"
            " levels at the ends of jumps would move; use a fixed schedule"
        )
    if args.objective in names.FEW_STEPS and args.prediction == "eps":
        raise InputError(
            f"--objective {args.objective} is not possible with --prediction eps: one step from"
            " noise multiplies its errors by sigma / alpha, up to 80; train with v or x0"
        )
    if args.objective != names.CONSISTENCY:
        refuse_given(args, ["guidance"], "belongs to --consistency; sample.py has its own")
        refuse_given(args, ["no_teacher"], "belongs to --consistency")
        return
    if args.consistency is None and args.resume is None:
        raise InputError("--objective consistency needs a trained model: --consistency CHECKPOINT")
    if args.no_teacher:
        refuse_given(args, ["guidance"], "needs the teacher, which --no_teacher leaves out")
    if args.guidance is not None and not (args.class_conditional and args.label_dropout != 0):
        raise InputError(
            "--guidance needs a model trained with --class_conditional and --label_dropout above 0"
        )


def fill_network(args: argparse.Namespace) -> None:
    """Choose the network, refuse the options of other networks, and fill in the rest.

    Raises:
        InputError: an option does not fit; the message names it.
    """
    kind = kind_of(args.dataset)
    fill_or_refuse(args, names.LABEL_DROPOUT, args.class_conditional)
    possible = names.models_for(kind)
    if args.model == "auto":
        args.model = possible[0]
    network = MODELS[args.model]
    args.optimizer = args.optimizer or network.optimizer
    if args.model not in possible:
        raise InputError(
            f"--model {args.model} is for {network.kinds[0]}; {kind} need --model {possible[0]}"
        )
    refuse_others(args, OF_NETWORKS, MODELS, args.model)
    for_these = [one for one in network.options if kind == "points" or not one.points_only]
    others = [one for one in network.options if one not in for_these]
    refuse_given(args, names_of(others), "is for points only")
    fill_hidden_dims(args)
    fill(args, for_these, kind)
    if args.embedding_size is not None and args.embedding_size % 2:
        raise InputError(f"--embedding_size must be even, not {args.embedding_size}")


def fill_hidden_dims(args: argparse.Namespace) -> None:
    """Derive the widths of all layers of an MLP from one width and the number of layers.

    Raises:
        InputError: --hidden_dims was given with another width or another number of layers.
    """
    if args.model != "mlp":
        return
    size, layers = (option.default for option in MODELS["mlp"].options[:2])
    equal = [args.hidden_size or size] * (args.hidden_layers or layers)
    if args.hidden_dims not in (None, equal):
        refuse_given(args, ("hidden_size", "hidden_layers"), "clashes with --hidden_dims")
    args.hidden_dims = args.hidden_dims or equal
