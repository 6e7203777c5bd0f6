"""The options that scripts share, with their defaults and checks.

The options of schedules, samplers and networks are in names.py. Imports nothing heavy, so that
`--help` and usage errors appear at once.
"""

from __future__ import annotations

import argparse
import os.path
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import names
from cli.tables import Entry, in_a_row, options_of, takers
from names import (
    GUIDANCE_BY_GUIDE,
    SAMPLERS,
    SCHEDULES,
    is_drawing,
    is_own_images,
    kind_of,
    names_of,
)
from system.errors import InputError
from system.options import ByData, Option
from system.values import POSITIVE, Choice, File, Flag, OneOf, Pair, Real, Whole
from system.words import counted

# ----------------------------------------------------------------- options given, and not given


def refuse_given(args: argparse.Namespace, options: Iterable[str], reason: str) -> None:
    """Refuse options that were given (or switched on) but would have no effect.

    Raises:
        InputError: one was given; the message names the first.
    """
    for option in options:
        value = getattr(args, option, None)
        if value is not None and value is not False:
            raise InputError(f"--{option} {reason}")


def refuse_others(
    args: argparse.Namespace, options: Iterable[Option], table: Mapping[str, Entry], chosen: str
) -> None:
    """Refuse the options of a table (see `options_of`) that the chosen entry does not take.

    Raises:
        InputError: one was given; the message names the first.
    """
    for option in options:
        taken_by = takers(table, option.name)
        if chosen not in taken_by:
            # A list of more than two names would hide the point.
            reason = option.needs if len(taken_by) <= 2 else f"does not apply to {chosen}"
            refuse_given(args, [option.name], reason)


def fill(args: argparse.Namespace, options: Iterable[Option], data: str) -> None:
    """Set the options that were not given to their defaults for `images` or `points`."""
    for option in options:
        if getattr(args, option.name, 0) is None and not option.short_for:
            setattr(args, option.name, option.default_for(data))


def fill_or_refuse(
    args: argparse.Namespace,
    option: Option,
    useful: bool,
    earlier: Mapping[str, Any] | None = None,
) -> None:
    """Set an option that depends on a condition, or refuse it if the condition does not hold.

    Args:
        useful: whether the condition holds.
        earlier: options of an earlier run, which take precedence over the default.

    Raises:
        InputError: the option was given, but the condition does not hold.
    """
    if not useful:
        refuse_given(args, [option.name], option.needs)
    elif getattr(args, option.name) is None:
        value = (earlier or {}).get(option.name)
        setattr(args, option.name, option.default if value is None else value)


# ------------------------------------------------------------------------------------- the data

DATA_DIR = Option(
    "data_dir",
    File(),
    "folder for image datasets, which are downloaded to it",
    metavar="DIR",
    default=Path("data"),
    changeable=True,
)
DATA = (names.DATASET, DATA_DIR, *names.OF_IMAGES, names.NUM_POINTS, names.JITTER)


def check_data_options(
    args: argparse.Namespace, otherwise: Mapping[str, Any] | None = None
) -> None:
    """Refuse data options that do not apply to the dataset, and fill in the rest.

    Args:
        otherwise: options of an earlier run, which take precedence over the defaults.
    """
    points, drawing = kind_of(args.dataset) == "points", is_drawing(args.dataset or "")
    fill_or_refuse(args, names.NUM_POINTS, points, otherwise)
    fill_or_refuse(args, names.JITTER, drawing, otherwise)
    fill_or_refuse(args, names.IMAGE_SIZE, not points, otherwise)
    fill_or_refuse(args, names.CHANNELS, not points, otherwise)
    fill_or_refuse(args, names.BACKGROUND, is_own_images(args.dataset or ""), otherwise)


# --------------------------------------------------------------------------- the noise schedule

OF_SCHEDULES = options_of(SCHEDULES, "schedule")
SCHEDULE = (names.TIMESTEPS, names.SCHEDULE, *OF_SCHEDULES)


def fill_schedule(args: argparse.Namespace) -> None:
    """Set the options of the noise schedule that were not given to the defaults for the data."""
    kind = kind_of(args.dataset)
    fill(args, SCHEDULE, kind)
    for name, value in of_schedule(args.schedule, kind, args.timesteps).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def of_schedule(schedule: str, kind: str, timesteps: int) -> dict[str, float]:
    """Options of a schedule whose defaults depend on the data, `images` or `points`."""
    if kind == "points" and "beta_start" in names_of(SCHEDULES[schedule].options):
        return {"beta_start": names.POINTS_BETA_START * 1000 / timesteps}
    return {}


def check_schedule_options(args: argparse.Namespace) -> None:
    """Refuse schedule options that clash or have no effect.

    Raises:
        InputError: there are such options; the message names them.
    """
    refuse_others(args, OF_SCHEDULES, SCHEDULES, args.schedule)
    scale = 1000 / args.timesteps
    start = names.BETA_START * scale if args.beta_start is None else args.beta_start
    end = min(names.BETA_END * scale, 0.999) if args.beta_end is None else args.beta_end
    if start > end:
        raise InputError(f"--beta_start ({start:g}) must not be larger than --beta_end ({end:g})")
    low = names.SIGMA_MIN if args.sigma_min is None else args.sigma_min
    high = names.SIGMA_MAX if args.sigma_max is None else args.sigma_max
    if low >= high:
        raise InputError(f"--sigma_min ({low:g}) must be smaller than --sigma_max ({high:g})")


# ------------------------------------------------------------------------------------- sampling

CHECKPOINT = Option(
    "checkpoint",
    File(),
    "file written by train.py or exported, or the name of a model in pretrained/",
    default_text="outputs/model_final.pt or, if that is missing, the newest file in"
    " outputs/checkpoints",
)
OF_SAMPLERS = options_of(SAMPLERS, "sampler")


def default_steps() -> str:
    """The default number of denoising steps of each sampler, in words."""
    found: dict[int | None, list[str]] = {}
    for name, sampler in SAMPLERS.items():
        found.setdefault(sampler.steps, []).append(name)
    every = "all"
    return ", ".join(f"{n or every} for {in_a_row(who, 'and')}" for n, who in found.items())


def sampling(sampler: str, steps: str) -> tuple[Option, ...]:
    """Options of the reverse process; the default sampler, and further defaults of the steps, are
    given in words."""
    return sampler_options(sampler, f"{default_steps()}; {steps}", OF_SAMPLERS)


def sampling_by_plan(plans: ByData) -> tuple[Option, ...]:
    """The same for scripts that follow a `Plan` for images or points unless a sampler is named."""
    default = f"{plans.images}; for points {plans.points}"
    otherwise = "as in --sampler's default; if one is named,"
    eta = names.ETA.default_text
    own = tuple(
        option._replace(default_text=f"{otherwise} {eta}") if option.name == "eta" else option
        for option in OF_SAMPLERS
    )
    return sampler_options(default, f"{otherwise} {default_steps()}", own)


def sampler_options(default: str, steps: str, own: tuple[Option, ...]) -> tuple[Option, ...]:
    """Options of the reverse process, with their defaults in words, and the samplers' `own`."""
    return (
        Option(
            "sampler",
            OneOf("sampler", tuple(SAMPLERS)),
            f"one of {', '.join(SAMPLERS)}",
            default_text=default,
        ),
        Option(
            "steps",
            POSITIVE,
            "number of denoising steps",
            aliases=("timesteps",),
            default_text=steps,
            dest="timesteps",
        ),
        *own,
        *SAMPLING,
    )


SAMPLING = (
    Option(
        "batch_size",
        POSITIVE,
        "samples made at a time; changes memory and speed, not the samples",
        default_text="256 images, 10000 points",
    ),
    Option(
        "guidance",
        Real(0, 100, low_included=True),
        "class-conditional models: 1 follows the label, more exaggerates it, 0 ignores it",
        metavar="SCALE",
        default_text="1",
    ),
    Option(
        "guide",
        File(),
        "a worse model of the same data, such as an early checkpoint of the run: --guidance moves"
        " away from its estimates instead of from those without a class (default scale:"
        f" {GUIDANCE_BY_GUIDE:g})",
    ),
    Option(
        "guidance_interval",
        Pair(Whole(0)),
        "guide at these timesteps only, which is faster",
        metavar=("FIRST", "LAST"),
        default_text="all",
    ),
    Option("no_ema", Flag(), "use the last weights instead of their moving average"),
)


def check_sampler_options(args: argparse.Namespace, default: str) -> None:
    """Fill in the sampler, and refuse options that it does not have.

    Raises:
        InputError: there is such an option; the message names it.
    """
    args.sampler_given = args.sampler is not None
    args.sampler = args.sampler or default
    refuse_others(args, OF_SAMPLERS, SAMPLERS, args.sampler)
    if args.momentum is not None and args.eta:
        raise InputError("--momentum needs --eta 0")
    if args.guide is not None and args.guidance is None:
        args.guidance = GUIDANCE_BY_GUIDE
    if args.guidance is None:
        refuse_given(args, ["guidance_interval"], "needs --guidance or --guide")
    elif args.guidance_interval and args.guidance_interval[0] > args.guidance_interval[1]:
        raise InputError("--guidance_interval: its first timestep must not be after its last")


def suit_objective(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """Choose a sampler with few steps for a model trained for few, unless a sampler was given.

    Args:
        config: of the model.

    Raises:
        InputError: the sampler does not take one of the given options.
    """
    if args.sampler_given or config["objective"] not in names.FEW_STEPS:
        return
    args.sampler = config["objective"]
    refuse_others(args, OF_SAMPLERS, SAMPLERS, args.sampler)
    print(f"the model was trained for few steps, so it is sampled with --sampler {args.sampler}")


def follow_plan(args: argparse.Namespace, plans: ByData, config: Mapping[str, Any]) -> None:
    """Fill in what was not given from the plan for the model's data, unless a sampler was named or
    the model has its own (`suit_objective`)."""
    if args.sampler_given or config["objective"] in names.FEW_STEPS:
        return
    plan = plans.of(config["kind"]).within(config["timesteps"])
    args.sampler = plan.sampler
    args.timesteps = args.timesteps or plan.steps
    args.eta = plan.eta if args.eta is None else args.eta


def made_by(args: argparse.Namespace, steps: int) -> str:
    """How samples were made, for titles and tables."""
    guidance = "" if args.guidance is None else f", guidance {args.guidance:g}"
    if args.guide is not None:
        guidance += f" by {args.guide.name}"
    if args.guidance_interval is not None:
        guidance += " at t = {}-{}".format(*args.guidance_interval)
    eta = f", eta {args.eta:g}" if args.eta else ""
    return f"{args.sampler}, {counted(steps, 'step')}{eta}, seed {args.seed}{guidance}"


# ----------------------------------------------------------------------- the machine, the output

MACHINE = (
    Option(
        "device",
        OneOf("device", names.DEVICES),
        f"one of {', '.join(names.DEVICES)}; auto takes the first that is available",
        default="auto",
        changeable=True,
    ),
    Option(
        "precision",
        Choice(names.PRECISIONS),
        "precision of the network; auto is bf16 for images where the processor supports it, else"
        " fp32; tf32 is fp32 with faster, less exact products, on cuda only",
        default="auto",
        changeable=True,
    ),
    Option(
        "compile",
        Choice(("auto", "on", "off")),
        "compile the network first, which takes up to a minute; auto does so if the run is long"
        " enough to gain by it",
        default="auto",
        changeable=True,
    ),
)


def check_suffix(path: Path, allowed: Sequence[str], option: str) -> None:
    """Refuse, before any work, an output file with a suffix that is not allowed, or a folder with
    its name."""
    if path.suffix.lower() not in allowed:
        raise InputError(f"{option} must end in {' or '.join(allowed)}: {path}")
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path | str | None]) -> None:
    """Refuse, before any work, to overwrite an input or to write a file in place of a folder.

    Raises:
        InputError: there is such an output; the message names the file or folder.
    """
    # Unlike Path.is_file, os.path.isfile accepts text that cannot be the name of a file.
    there = [source for source in inputs if source is not None and os.path.isfile(source)]
    for output in outputs:
        if output.is_dir():
            raise InputError(f"{output} is a folder, so the file cannot be written")
        if output.parent.exists() and not output.parent.is_dir():
            raise InputError(f"cannot write into {output.parent}: it is not a folder")
        for source in there:
            if output.is_file() and output.samefile(source):
                raise InputError(
                    f"{source} is read, and would be overwritten; choose another output"
                )
