"""The options that scripts share, their defaults, and what is checked about them.

`--help` and wrong usage should answer at once, so this file must not import torch.
"""

from __future__ import annotations

import argparse
import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli.parser import Parser, number, one_of, positive_int, seed_number, whole_number
from system.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")

IMAGE_DATASETS = ("mnist", "fashion_mnist", "digits")
POINT_DATASETS = (
    *("barnsley_fern", "sierpinski", "spiral", "koch", "mandelbrot", "swiss_roll", "heart", "dino"),
    *("cat", "circle", "line", "moons", "checkerboard", "gaussians", "tree"),
)
DATASETS = IMAGE_DATASETS + POINT_DATASETS
DRAWING_SUFFIXES = (".csv", ".tsv", ".txt", ".png", ".jpg", ".jpeg", ".bmp", ".gif")
DEVICES = ("auto", "cuda", "mps", "cpu")
BETA_SCHEDULES = ("linear", "quadratic", "sigmoid")
SCHEDULES = (*BETA_SCHEDULES, "cosine", "log_linear", "flow")
SIGMA_MIN, SIGMA_MAX = 0.002, 10.0
LOSS_WEIGHTINGS = ("uniform", "min_snr", "inverse_sigma")
TIMESTEP_SAMPLINGS = ("uniform", "logit_normal")
TIME_EMBEDDINGS = ("sinusoidal", "learned", "linear", "log_sigma")
PREDICTIONS = ("eps", "x0", "v")
OPTIMIZERS = ("adamw", "muon")
SAMPLERS = ("ddpm", "ddim", "heun", "dpmpp")
GUIDANCE_BY_GUIDE = 2.0
MASKS = ("upper_half", "lower_half", "left_half", "right_half", "centre")
MOST_POINTS = 10_000_000


def is_drawing(name: str) -> bool:
    """Whether a --dataset is a person's own drawing, a file of points."""
    return Path(name).suffix.lower() in DRAWING_SUFFIXES


def is_points(name: str) -> bool:
    """Whether a --dataset is a set of points."""
    return name in POINT_DATASETS or is_drawing(name)


def dataset_name(text: str) -> str:
    """An argument type: a known dataset, or the path of a drawing."""
    if is_drawing(text):
        return text
    return one_of("dataset", DATASETS)(text)


def kind_of(dataset: str | None) -> str:
    """`images` or `points`, whichever a dataset holds; None is a dataset of images."""
    return "images" if dataset is None or dataset in IMAGE_DATASETS else "points"


# ------------------------------------------------------------------- defaults of images and points

# What samples best on two cores: images within the patience of a coffee or three, points in 20 s.
DEFAULTS: dict[str, tuple[Any, Any]] = {  # option: (images, points)
    "epochs": (20, 200),
    "batch_size": (128, 1000),
    "lr": (2e-3, 5e-3),
    "lr_schedule": ("cosine", "cosine"),
    "ema_decay": (0.9999, 0.99),
    "timesteps": (1000, 200),
    "schedule": ("cosine", "quadratic"),
    "prediction": ("x0", "v"),
    "timestep_sampling": ("logit_normal", "uniform"),
    "num_samples": (64, 1000),
    "sample_interval": (1, 20),
    "save_interval": (5, 100),
}

# Half of the timesteps should have less noise than the thin parts of a drawing are wide: in images
# little is finer than a pixel, in sets of points much is.
POINTS_BETA_START = 2e-6


def default_help(option: str) -> str:
    images, points = DEFAULTS[option]
    if images == points:
        return f" (default: {images})"
    return f" (default: {images} for images, {points} for points)"


def fill_defaults(args: argparse.Namespace) -> None:
    """Set what was not given among the options whose default depends on the data or on others."""
    which = 0 if kind_of(args.dataset) == "images" else 1
    for option, values in DEFAULTS.items():
        if getattr(args, option, 0) is None:
            setattr(args, option, values[which])
    if which and args.schedule in BETA_SCHEDULES and args.beta_start is None:
        args.beta_start = POINTS_BETA_START * 1000 / args.timesteps
    if getattr(args, "loss_weighting", 0) is None:
        # For x0 it makes the error that of v (docs/MATH.md, section 3).
        args.loss_weighting = "inverse_sigma" if args.prediction == "x0" else "uniform"


def refuse_given(args: argparse.Namespace, options: Sequence[str], reason: str) -> None:
    """Refuse options that were given (or switched on) although they would do nothing.

    Raises:
        InputError: naming the first of them.
    """
    for option in options:
        value = getattr(args, option, None)
        if value is not None and value is not False:
            raise InputError(f"--{option} {reason}")


# ------------------------------------------------------------------------------- shared options


def add_data_options(parser: Parser) -> None:
    add = parser.section("data")
    add(
        "--dataset",
        type=dataset_name,
        metavar="NAME",
        help=f"images: {', '.join(IMAGE_DATASETS)}; points: {', '.join(POINT_DATASETS)}; or your"
        f" own drawing, a file ending in {', '.join(DRAWING_SUFFIXES)} (default: mnist, or digits,"
        " which needs no download, where mnist cannot be had)",
    )
    add(
        "--data_dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where image datasets are kept and downloaded to",
    )
    add(
        "--num_points",
        type=whole_number(3, MOST_POINTS),
        metavar="N",
        help="points: how many (default: 8000)",
    )
    add(
        "--jitter",
        type=number(0, 100, low_included=True),
        metavar="SHARE",
        help="drawings: noise added to the points, as a share of their spread (default: 0.01)",
    )


def check_data_options(
    args: argparse.Namespace, otherwise: Mapping[str, Any] | None = None
) -> None:
    """Refuse data options that the dataset has no use for, and fill in the rest.

    Args:
        otherwise: options of an earlier run, to go before the defaults.
    """
    earlier = otherwise or {}
    if kind_of(args.dataset) == "images":
        refuse_given(args, ["num_points"], "is for sets of points only")
    elif args.num_points is None:
        args.num_points = earlier.get("num_points") or 8000
    if not is_drawing(args.dataset or ""):
        refuse_given(args, ["jitter"], "is for drawings (files of points) only")
    elif args.jitter is None:
        jitter = earlier.get("jitter")
        args.jitter = 0.01 if jitter is None else jitter


def add_schedule_options(parser: Parser) -> None:
    add = parser.section("noise schedule")
    add(
        "--timesteps",
        "--num_timesteps",
        type=whole_number(2, 100_000),
        metavar="T",
        help="timesteps of the diffusion process" + default_help("timesteps"),
    )
    add(
        "--schedule",
        "--beta_schedule",
        type=one_of("schedule", SCHEDULES),
        metavar="NAME",
        help=f"noise schedule, one of {', '.join(SCHEDULES)}" + default_help("schedule"),
    )
    for end, value in (("start", "1e-4 (points 2e-6)"), ("end", "0.02")):
        add(
            f"--beta_{end}",
            type=number(1e-12, 0.9999, low_included=True),
            metavar="BETA",
            help=f"linear, quadratic, sigmoid: variance at the {end} of the schedule"
            f" (default: {value} x 1000/T)",
        )
    for end, which, sigma in (("min", "smallest", SIGMA_MIN), ("max", "largest", SIGMA_MAX)):
        add(
            f"--sigma_{end}",
            type=number(1e-5, 1e6, low_included=True),
            metavar="SIGMA",
            help=f"log_linear: {which} noise level, in units of the data's spread"
            f" (default: {sigma:g})",
        )


def check_schedule_options(args: argparse.Namespace) -> None:
    """Refuse schedule options that clash or do nothing.

    Raises:
        InputError: naming the options.
    """
    if args.schedule not in BETA_SCHEDULES:
        refuse_given(args, ["beta_start", "beta_end"], f"does not apply to {args.schedule}")
    if args.schedule != "log_linear":
        refuse_given(args, ["sigma_min", "sigma_max"], "applies to --schedule log_linear only")
    start = 1e-4 * 1000 / args.timesteps if args.beta_start is None else args.beta_start
    end = min(0.02 * 1000 / args.timesteps, 0.999) if args.beta_end is None else args.beta_end
    if start > end:
        raise InputError(f"--beta_start ({start:g}) must not be larger than --beta_end ({end:g})")
    if args.schedule == "flow" and getattr(args, "prediction", None) == "eps":
        raise InputError(
            "--prediction eps is not possible with --schedule flow: at its last timestep x is pure"
            " noise, and knowing eps tells nothing about the data; take v or x0"
        )
    if args.schedule == "flow" and getattr(args, "loss_weighting", None) == "min_snr":
        raise InputError(
            "--loss_weighting min_snr is not possible with --schedule flow: it weighs by the"
            " signal, and the last timesteps of flow have none"
        )
    low = SIGMA_MIN if args.sigma_min is None else args.sigma_min
    high = SIGMA_MAX if args.sigma_max is None else args.sigma_max
    if low >= high:
        raise InputError(f"--sigma_min ({low:g}) must be smaller than --sigma_max ({high:g})")


def add_seed_option(parser: Parser, default: int | None = 0, more: str = "") -> None:
    """`default` None: to tell whether it was given; `more` then says what it is otherwise."""
    parser.section("randomness")(
        "--seed",
        type=seed_number,
        default=default,
        metavar="N",
        help="seed of all randomness" + more,
    )


def add_checkpoint_option(parser: Parser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="file written by train.py (default: outputs/model_final.pt, or the newest in"
        " outputs/checkpoints while that is missing)",
    )


def add_sampler_options(parser: Parser, default: str) -> None:
    """Options of the reverse process; `default` says which sampler runs when none is named."""
    add = parser.section("sampling")
    add(
        "--sampler",
        type=one_of("sampler", SAMPLERS),
        metavar="NAME",
        help=f"one of {', '.join(SAMPLERS)} (default: {default})",
    )
    add(
        "--timesteps",
        "--steps",
        type=positive_int,
        metavar="N",
        help="denoising steps (default: all that the model was trained with for ddpm, 50 for ddim,"
        " 20 for heun and dpmpp)",
    )
    add(
        "--eta",
        type=number(0, 1, low_included=True),
        metavar="ETA",
        help="share of fresh noise in ddim and dpmpp, from 0 (deterministic) to 1 (that of ddpm)"
        " (default: 0)",
    )
    add(
        "--momentum",
        type=number(0, 10),
        metavar="GAMMA",
        help="of ddim with eta 0: 2 comes closer to the data in few steps (default: 1, none)",
    )
    add(
        "--batch_size",
        type=positive_int,
        metavar="N",
        help="samples made at a time; changes memory and speed, not the samples (default: 256"
        " images, 10000 points)",
    )
    add(
        "--guidance",
        type=number(0, 100, low_included=True),
        metavar="SCALE",
        help="class-conditional models: 1 follows the label, more than 1 exaggerates what makes the"
        " class, 0 ignores it (default: 1)",
    )
    add(
        "--guide",
        type=Path,
        metavar="FILE",
        help="a worse model of the same data, an early checkpoint of the run, say: --guidance goes"
        f" away from its answers instead of from no class (default scale: {GUIDANCE_BY_GUIDE:g})",
    )
    add(
        "--guidance_interval",
        type=whole_number(0),
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="guide at these timesteps only, which is quicker (default: all)",
    )
    add("--no_ema", action="store_true", help="use the last weights, not their moving average")


def check_sampler_options(args: argparse.Namespace, default: str) -> None:
    """Fill in the sampler, and refuse options that it does not have.

    Raises:
        InputError: naming the option.
    """
    args.sampler = args.sampler or default
    if args.sampler not in ("ddim", "dpmpp"):
        refuse_given(args, ["eta"], "applies to --sampler ddim and dpmpp only")
    if args.sampler != "ddim":
        refuse_given(args, ["momentum"], "applies to --sampler ddim only")
    if args.momentum is not None and args.eta:
        raise InputError("--momentum needs --eta 0")
    if args.guide is not None and args.guidance is None:
        args.guidance = GUIDANCE_BY_GUIDE
    if args.guidance is None:
        refuse_given(args, ["guidance_interval"], "needs --guidance or --guide")
    elif args.guidance_interval and args.guidance_interval[0] > args.guidance_interval[1]:
        raise InputError("--guidance_interval: its first timestep must not be after its last")


def made_by(args: argparse.Namespace, steps: int) -> str:
    """How samples were made, for titles and tables."""
    guidance = "" if args.guidance is None else f", guidance {args.guidance:g}"
    if args.guide is not None:
        guidance += f" by {args.guide.name}"
    if args.guidance_interval is not None:
        guidance += " at t = {}-{}".format(*args.guidance_interval)
    eta = f", eta {args.eta:g}" if args.eta else ""
    return f"{args.sampler}, {steps} steps{eta}, seed {args.seed}{guidance}"


def add_machine_options(parser: Parser) -> None:
    add = parser.section("machine")
    add(
        "--device",
        type=one_of("device", DEVICES),
        default="auto",
        metavar="NAME",
        help=f"one of {', '.join(DEVICES)}; auto takes the first of these that is there",
    )
    add(
        "--precision",
        choices=("auto", "fp32", "tf32", "bf16", "fp16"),
        default="auto",
        help="of the network: auto is bf16 for images on a processor made for it, else fp32; tf32"
        " is fp32 with faster, coarser products, on cuda only",
    )
    add(
        "--compile",
        choices=("auto", "on", "off"),
        default="auto",
        help="translate the network into machine code first, which takes up to a minute; auto does"
        " so where the run is long enough to earn it",
    )


def check_suffix(path: Path, allowed: Sequence[str], option: str) -> None:
    """Refuse, before any work, an output file whose suffix names no format that we write, or whose
    place is taken by a folder."""
    if path.suffix.lower() not in allowed:
        raise InputError(f"{option} must end in {' or '.join(allowed)}: {path}")
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path | str | None]) -> None:
    """Refuse, before any work, to write over a file that is read, or where a folder is.

    Raises:
        InputError: naming the file or folder.
    """
    # os.path.isfile does not mind what is no name of a file at all, as Path.is_file does.
    there = [source for source in inputs if source is not None and os.path.isfile(source)]
    for output in outputs:
        if output.is_dir():
            raise InputError(f"{output} is a folder, where a file is to be written")
        if output.parent.exists() and not output.parent.is_dir():
            raise InputError(f"cannot write into {output.parent}: it is no folder")
        for source in there:
            if output.is_file() and output.samefile(source):
                raise InputError(
                    f"{source} is read, and would be overwritten; choose another output"
                )


def settings(kind: type[Settings], args: argparse.Namespace) -> Settings:
    """The settings of that dataclass, whose fields have the names of options."""
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind)})
