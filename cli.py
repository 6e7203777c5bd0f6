"""What the scripts share before anything heavy is imported: argument types, options, exit codes.

`--help` and wrong usage should answer at once, so this file must not import torch.
"""

from __future__ import annotations

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from errors import InputError, RunError

IMAGE_DATASETS = ("mnist", "fashion_mnist", "digits")
DEVICES = ("auto", "cuda", "mps", "cpu")
SCHEDULES = ("linear", "cosine", "quadratic", "sigmoid")
PREDICTIONS = ("eps", "x0", "v")
SAMPLERS = ("ddpm", "ddim")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show defaults, but not the `None` and `False` of options that are off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are two lines, not a page of usage."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=HelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n'{self.prog} --help' lists the options.\n")


# ------------------------------------------------------------------------------- argument types


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argument type: an integer of at least `minimum` (and at most `maximum`)."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, not {text!r}") from None
        if value < minimum or (maximum is not None and value > maximum):
            limits = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"must be {limits}, not {value}")
        return value

    return parse


def number(low: float, high: float, low_included: bool = False) -> Callable[[str], float]:
    """An argument type: a finite number in (low, high], or in [low, high]."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, not {text!r}") from None
        above = value >= low if low_included else value > low
        if not (math.isfinite(value) and above and value <= high):
            lower = f"at least {low:g}" if low_included else f"above {low:g}"
            upper = "" if math.isinf(high) else f" and at most {high:g}"
            raise argparse.ArgumentTypeError(f"must be {lower}{upper}, not {text}")
        return value

    return parse


def one_of(kind: str, names: Sequence[str]) -> Callable[[str], str]:
    """An argument type: one of `names`; an unknown one is answered with the nearest."""

    def parse(text: str) -> str:
        name = text.lower().replace("-", "_")
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        known = ", ".join(names)
        raise argparse.ArgumentTypeError(f"unknown {kind} {text!r}; known: {known}.{hint}")

    return parse


positive_int = whole_number(1)
seed_number = whole_number(0, 2**63 - 1)
dataset_name = one_of("dataset", IMAGE_DATASETS)


# ------------------------------------------------------------------------------- shared options


def add_data_options(parser: Parser) -> None:
    parser.add_argument(
        "--dataset",
        type=dataset_name,
        metavar="NAME",
        help=f"one of {', '.join(IMAGE_DATASETS)} (default: mnist, or digits, which needs no"
        " download, where mnist cannot be had)",
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where datasets are kept and downloaded to",
    )


def add_schedule_options(parser: Parser) -> None:
    parser.add_argument(
        "--timesteps",
        "--num_timesteps",
        type=whole_number(2, 100_000),
        default=1000,
        metavar="T",
        help="timesteps of the diffusion process",
    )
    parser.add_argument(
        "--schedule",
        "--beta_schedule",
        type=one_of("schedule", SCHEDULES),
        default="linear",
        metavar="NAME",
        help=f"noise schedule, one of {', '.join(SCHEDULES)}",
    )
    for end, value in (("start", "1e-4"), ("end", "0.02")):
        parser.add_argument(
            f"--beta_{end}",
            type=number(0, 0.9999),
            metavar="BETA",
            help=f"variance at the {end} of the schedule; not for cosine"
            f" (default: {value} x 1000/T)",
        )


def add_seed_option(parser: Parser) -> None:
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="seed of all randomness"
    )


def add_device_option(parser: Parser) -> None:
    parser.add_argument(
        "--device",
        type=one_of("device", DEVICES),
        default="auto",
        metavar="NAME",
        help=f"one of {', '.join(DEVICES)}; auto takes the first of these that is there",
    )


def check_schedule_options(args: argparse.Namespace) -> None:
    """Refuse combinations of schedule options that no single option can judge.

    Raises:
        InputError: naming the options that clash.
    """
    if args.schedule == "cosine" and not (args.beta_start is None and args.beta_end is None):
        raise InputError("--beta_start and --beta_end do not apply to the cosine schedule")
    start = 1e-4 * 1000 / args.timesteps if args.beta_start is None else args.beta_start
    end = 0.02 * 1000 / args.timesteps if args.beta_end is None else args.beta_end
    if start > end:
        raise InputError(f"--beta_start ({start:g}) must not be larger than --beta_end ({end:g})")


def check_suffix(path: Path, allowed: Sequence[str], option: str) -> None:
    """Refuse an output file whose suffix names no format that we write."""
    if path.suffix.lower() not in allowed:
        raise InputError(f"{option} must end in {' or '.join(allowed)}: {path}")


# ----------------------------------------------------------------------------------- exit codes


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and end the process with the exit code that fits.

    0 done, 1 the run failed, 2 wrong usage or input, 130 interrupted. A user's mistake or a full
    disk gets a line on stderr; a traceback is for bugs in this program.
    """
    try:
        main()
        code = 0
    except InputError as error:
        code = fail(2, str(error))
    except RunError as error:
        code = fail(1, str(error))
    except KeyboardInterrupt as error:
        code = fail(130, f"interrupted{f': {error}' if str(error) else ''}")
    except (OSError, RuntimeError) as error:
        code = fail(1, explain_system_error(error))
    sys.exit(code)


def fail(code: int, message: str) -> int:
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    return code


def explain_system_error(error: OSError | RuntimeError) -> str:
    """One line for a full disk or exhausted memory; anything else is a bug and is raised again."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    if "out of memory" in str(error) or "can't allocate memory" in str(error):
        return "out of memory: lower --batch_size (or --base_channels), or use --device cpu"
    raise error
