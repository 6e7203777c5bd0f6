"""The options of train.py: what they are, what they exclude, and where a resumed run may differ."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cli.options
import cli.parser
import cli.terminal
from system.errors import InputError

UNET_OPTIONS = ("base_channels", "dropout", "no_attention")
MLP_OPTIONS = (
    *("hidden_size", "hidden_layers", "hidden_dims", "embedding_size", "time_embedding"),
    *("coordinates", "embedding_scale"),
)
# What is in config.json beside the options of the run.
NOT_OPTIONS = (
    *("kind", "shape", "value_range", "class_names", "mean", "scale", "label_counts"),
    *("config", "resume"),
    *("quiet", "verbose", "given", "derived"),
)
# What may be different when a run goes on: how long, how fast, where, and what it writes when.
CHANGEABLE = (
    *("epochs", "lr", "lr_schedule", "grad_clip", "device", "precision", "compile", "batch_size"),
    *("output_dir", "data_dir", "sample_interval", "save_interval", "save_every_minutes"),
    *("keep_checkpoints", "tensorboard", "num_samples", "show_image_step"),
    *NOT_OPTIONS,
)
LARGEST_CONFIG = 1_000_000  # bytes; one with 10,000 classes has a tenth of that
OUTPUT_DIR = Path("outputs")
NEWEST = Path()  # of --resume without a file


def parse_arguments(argv: list[str], document: str = "") -> argparse.Namespace:
    """The options of a run, checked and with nothing left to fill in.

    Args:
        document: what `--help` says, see `cli.parser.Parser`.
    """
    parser = cli.parser.Parser(document)
    cli.options.add_data_options(parser)
    add_training_options(parser)
    add_model_options(parser)
    cli.options.add_schedule_options(parser)
    add_output_options(parser)
    cli.options.add_machine_options(parser)
    cli.options.add_seed_option(parser)
    cli.terminal.add_verbosity_options(parser)
    parser.section("options from a file")(
        "--config",
        type=Path,
        metavar="FILE",
        help="take options from a .json file, such as a run's own config.json; options on the"
        " command line override it",
    )
    args, given = parser.parse_args(argv), argv
    if args.resume is not None:
        args, given = resumed(parser, args, argv)
    elif args.config is not None:
        options = without_derived(read_config(args.config), parser.given(argv))
        given = as_arguments(parser, options, args.config) + argv
        args = parser.parse_args(given)
    args.given = parser.given(given)
    args.output_dir = args.output_dir or OUTPUT_DIR
    cli.options.fill_defaults(args)
    cli.options.check_data_options(args)
    cli.options.check_schedule_options(args)
    check_model_options(args)
    return args


def read_config(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises:
        InputError: there is none, or it holds no object.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"--config {path} is not a plain file")
        with path.open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)
        if len(content) > LARGEST_CONFIG:
            raise InputError(f"--config {path} has more than {LARGEST_CONFIG:,} bytes")
        options = json.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"--config {path} is not JSON: {error}") from None
    if not isinstance(options, dict):
        raise InputError(f"--config {path} must hold an object of options, {{...}}")
    return options


def without_derived(config: dict[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """What a person chose of a configuration.

    The rest followed from that, and is derived anew when something else is chosen. A value that
    was changed by hand is a choice.

    Args:
        given: options that the command line names, to go before those of the file.
    """
    derived = config.get("derived")
    if not isinstance(derived, dict):
        derived = {}
    chosen = {name: x for name, x in config.items() if name not in derived or derived[name] != x}
    by_hand = derived.keys() & chosen.keys()
    if "hidden_dims" in by_hand or "hidden_dims" in given:  # which take the place of
        chosen |= {"hidden_size": None, "hidden_layers": None}
    return chosen


def as_arguments(parser: cli.parser.Parser, options: dict[str, Any], path: Path) -> list[str]:
    """The options of a configuration, as they would stand on the command line.

    So they pass through the same checks.

    Raises:
        InputError: there is no such option, or its value is none that a command line could hold.
    """
    found = []
    for name, value in options.items():
        if name in NOT_OPTIONS or value is None or value is False:
            continue
        if not parser.knows(f"--{name}"):
            raise InputError(f"{path}: there is no option --{name}")
        if value is True:
            found.append(f"--{name}")
            continue
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in values):
            raise InputError(f"{path}: {name} must be a value or a list of values, not an object")
        text = ",".join(map(str, values))
        if not is_argument(text):
            raise InputError(f"{path}: {name} holds characters that no option can hold: {text!r}")
        found.append(f"--{name}={text}")
    return found


def is_argument(text: str) -> bool:
    """Whether the system could hand this to a program: no NUL, nothing that is no character."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def resumed(
    parser: cli.parser.Parser, given: argparse.Namespace, argv: list[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of the run that `--resume` goes on with, changed by the command line.

    Returns:
        All of them, and those that a person chose, then or now, as arguments.

    Raises:
        InputError: there is no checkpoint to go on from, or an option cannot change.
    """
    from checkpoints import load_checkpoint, newest_checkpoint

    if given.config is not None:
        raise InputError("--resume takes the options from the checkpoint, so --config is too much")
    path, folder = given.resume, given.output_dir
    if path == NEWEST:
        folder = folder or OUTPUT_DIR
        path = newest_checkpoint(folder / "checkpoints")
        if path is None:
            raise InputError(f"--resume: no checkpoint in {folder / 'checkpoints'}")
    elif folder is None and path.parent.name == "checkpoints":
        folder = path.parent.parent
    checkpoint = load_checkpoint(path)
    if "training" not in checkpoint:
        raise InputError(
            f"--resume: {path} holds the weights only; those in checkpoints/ hold the rest"
        )
    options = as_arguments(parser, checkpoint["config"], path)
    before, args = parser.parse_args(options), parser.parse_args(options + argv)
    for name, value in vars(before).items():
        if name not in CHANGEABLE and getattr(args, name) != value:
            raise InputError(f"--{name} cannot change when a run is resumed; it was {value}")
    args.output_dir, args.resume = folder, path
    return args, as_arguments(parser, without_derived(checkpoint["config"]), path) + argv


def add_training_options(parser: cli.parser.Parser) -> None:
    add, positive = parser.section("training"), cli.parser.positive_int
    add(
        "--subset",
        type=cli.parser.whole_number(1, 10**12),
        metavar="N",
        help="train on the first N examples only",
    )
    add(
        "--epochs",
        "--num_epochs",
        type=positive,
        metavar="N",
        help="passes over the data" + cli.options.default_help("epochs"),
    )
    add(
        "--batch_size",
        "--train_batch_size",
        type=positive,
        metavar="N",
        help="examples in one step" + cli.options.default_help("batch_size"),
    )
    add(
        "--lr",
        "--learning_rate",
        type=cli.parser.number(0, 1),
        metavar="LR",
        help="learning rate" + cli.options.default_help("lr"),
    )
    add(
        "--optimizer",
        type=cli.parser.one_of("optimizer", cli.options.OPTIMIZERS),
        metavar="NAME",
        help="adamw, or muon for the hidden layers and adamw for the rest (default: muon for unet,"
        " adamw for mlp)",
    )
    add(
        "--lr_schedule",
        choices=("constant", "cosine"),
        help="constant, or falling to zero along a cosine"
        + cli.options.default_help("lr_schedule"),
    )
    add(
        "--grad_clip",
        type=cli.parser.not_negative,
        default=1.0,
        metavar="NORM",
        help="largest norm of the gradient; 0 for no limit",
    )
    add(
        "--ema_decay",
        type=cli.parser.number(0, 0.999999, low_included=True),
        metavar="DECAY",
        help="upper limit of the decay of the weights' moving average, which spans the last eighth"
        " of a run before it gets there; 0 for none" + cli.options.default_help("ema_decay"),
    )
    add(
        "--loss_weighting",
        type=cli.parser.one_of("loss weighting", cli.options.LOSS_WEIGHTINGS),
        metavar="NAME",
        help="weights of the squared errors: uniform, min_snr (of x0's by min(SNR, 5)), or"
        " inverse_sigma, 1 / (sigma^2 + 1e-4) (default: inverse_sigma for x0, else uniform)",
    )
    add(
        "--timestep_sampling",
        type=cli.parser.one_of("timestep sampling", cli.options.TIMESTEP_SAMPLINGS),
        metavar="NAME",
        help="which timesteps to learn from: uniform, all alike, or logit_normal, most past the"
        " middle" + cli.options.default_help("timestep_sampling"),
    )


def add_model_options(parser: cli.parser.Parser) -> None:
    add = parser.section("network")
    add(
        "--prediction",
        type=cli.parser.one_of("prediction", cli.options.PREDICTIONS),
        metavar="NAME",
        help="what the network predicts: eps (the noise), x0 or v"
        + cli.options.default_help("prediction"),
    )
    add(
        "--model",
        type=cli.parser.one_of("model", ("auto", "unet", "mlp")),
        default="auto",
        metavar="NAME",
        help="unet (images only) or mlp; auto is unet for images, mlp for points",
    )
    add(
        "--class_conditional",
        action="store_true",
        help="learn each class by its label, so that sampling can ask for a class",
    )
    add(
        "--label_dropout",
        type=cli.parser.number(0, 0.99, low_included=True),
        metavar="SHARE",
        help="class_conditional: share of examples without their label, from which guidance learns"
        " what all classes have in common (default: 0.1)",
    )
    width, layers = cli.parser.whole_number(1, 8192), cli.parser.whole_number(1, 100)
    add("--base_channels", type=width, metavar="C", help="unet: width (default: 64)")
    add(
        "--dropout",
        type=cli.parser.number(0, 0.99, low_included=True),
        metavar="SHARE",
        help="unet: share of the activations that training sets to zero (default: 0)",
    )
    add(
        "--no_attention",
        action="store_true",
        default=None,
        help="unet: without the self-attention at 7x7",
    )
    add("--hidden_size", type=width, metavar="N", help="mlp: width of its layers (default: 128)")
    add("--hidden_layers", type=layers, metavar="N", help="mlp: how many layers (default: 3)")
    add(
        "--hidden_dims",
        type=cli.parser.list_of(width, longest=100),
        metavar="N,N,...",
        help="mlp: the width of each layer, instead of the two options above",
    )
    add(
        "--embedding_size",
        type=cli.parser.whole_number(2, 8192),
        metavar="N",
        help="mlp: size of the embeddings of time and coordinates, even (default: 128)",
    )
    add(
        "--time_embedding",
        type=cli.parser.one_of("time embedding", cli.options.TIME_EMBEDDINGS),
        metavar="NAME",
        help=f"mlp: one of {', '.join(cli.options.TIME_EMBEDDINGS)} (default: sinusoidal)",
    )
    add(
        "--coordinates",
        type=cli.parser.one_of("coordinate embedding", ("sinusoidal", "raw")),
        metavar="NAME",
        help="mlp on points: sinusoidal (Fourier features) or raw (default: sinusoidal)",
    )
    add(
        "--embedding_scale",
        type=cli.parser.number(0, 1000),
        metavar="SCALE",
        help="mlp on points: larger for finer detail in Fourier features (default: 2)",
    )


def check_model_options(args: argparse.Namespace) -> None:
    """Decide which network it is, refuse options of the other, and fill in the rest."""
    kind = cli.options.kind_of(args.dataset)
    if not args.class_conditional:
        cli.options.refuse_given(args, ["label_dropout"], "is for --class_conditional only")
    elif args.label_dropout is None:
        args.label_dropout = 0.1
    if args.model == "auto":
        args.model = "unet" if kind == "images" else "mlp"
    args.optimizer = args.optimizer or ("muon" if args.model == "unet" else "adamw")
    if args.model == "unet":
        if kind == "points":
            raise InputError("--model unet is for images; points need --model mlp")
        cli.options.refuse_given(args, MLP_OPTIONS, "is for --model mlp only")
        args.base_channels = args.base_channels or 64
        args.dropout = args.dropout or 0.0
        args.no_attention = args.no_attention or False
        return
    cli.options.refuse_given(args, UNET_OPTIONS, "is for --model unet only")
    if kind == "images":
        cli.options.refuse_given(args, ("coordinates", "embedding_scale"), "is for points only")
    equal = [args.hidden_size or 128] * (args.hidden_layers or 3)
    if args.hidden_dims not in (None, equal):
        cli.options.refuse_given(
            args, ("hidden_size", "hidden_layers"), "clashes with --hidden_dims"
        )
    args.hidden_dims = args.hidden_dims or equal
    args.embedding_size = args.embedding_size or 128
    if args.embedding_size % 2:
        raise InputError(f"--embedding_size must be even, not {args.embedding_size}")
    args.time_embedding = args.time_embedding or "sinusoidal"
    if kind == "points":
        args.coordinates = args.coordinates or "sinusoidal"
        args.embedding_scale = args.embedding_scale or 2.0


def add_output_options(parser: cli.parser.Parser) -> None:
    add, positive = parser.section("output, and going on"), cli.parser.positive_int
    add(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="folder for everything that the run writes (default: outputs)",
    )
    add(
        "--num_samples",
        "--eval_batch_size",
        type=cli.parser.whole_number(1, 10_000),
        metavar="N",
        help="samples in the picture after an epoch" + cli.options.default_help("num_samples"),
    )
    add(
        "--show_image_step",
        type=positive,
        metavar="T",
        help="with the samples also draw how they came about, every so many timesteps",
    )
    add(
        "--sample_interval",
        type=positive,
        metavar="EPOCHS",
        help="draw samples every so many epochs" + cli.options.default_help("sample_interval"),
    )
    add(
        "--save_interval",
        type=positive,
        metavar="EPOCHS",
        help="save a checkpoint every so many epochs" + cli.options.default_help("save_interval"),
    )
    add(
        "--save_every_minutes",
        type=cli.parser.number(0, math.inf),
        metavar="MINUTES",
        help="save a checkpoint within epochs too; it replaces the one before",
    )
    add(
        "--keep_checkpoints",
        type=positive,
        metavar="N",
        help="keep only so many of the checkpoints after epochs, the newest (default: all)",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="also record losses and samples for TensorBoard, in the folder tensorboard/",
    )
    add(
        "--resume",
        type=Path,
        nargs="?",
        const=NEWEST,
        metavar="CHECKPOINT",
        help="go on with an earlier run, from this file or from the newest in the output folder,"
        " up to --epochs",
    )
