"""Options from a file: of a configuration, and of the run that `--resume` goes on with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from cli.parser import Parser
from names import CONSISTENCY, FACTS, learns_jumps
from system.errors import InputError

LARGEST_CONFIG = 1_000_000  # bytes; one with 10,000 classes has a tenth of that
OUTPUT_DIR = Path("outputs")
NEWEST = Path()  # of --resume without a file
# What a file may hold that is no option of a run: what the data were, and how a script was called.
NO_OPTIONS = frozenset(FACTS) | {"config", "consistency", "resume", "quiet", "verbose", "given"}
# What a run that tunes a model does not take over from the run that made it.
AFRESH = frozenset(
    "epochs lr output_dir sample_interval save_interval save_every_minutes show_image_step".split()
)


def read_config(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises:
        InputError: there is none, or it holds no object.
    """
    import json  # only now: most runs have no such file

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


def as_arguments(parser: Parser, options: dict[str, Any], path: Path) -> list[str]:
    """The options of a configuration, as they would stand on the command line.

    So they pass through the same checks.

    Raises:
        InputError: there is no such option, or its value is none that a command line could hold.
    """
    found = []
    for name, value in options.items():
        if name in NO_OPTIONS or value is None or value is False:
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
    parser: Parser, given: argparse.Namespace, argv: list[str], fixed: Iterable[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of the run that `--resume` goes on with, changed by the command line.

    Args:
        fixed: the options that must stay as they were.

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
    args, chosen = changed(parser, checkpoint["config"], path, argv, fixed, "run is resumed")
    args.output_dir, args.resume = folder, path
    return args, chosen


def tuned(
    parser: Parser, given: argparse.Namespace, argv: list[str], fixed: Iterable[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a run that tunes the model of `--consistency`, changed by the command line.

    What the model is and what it learned from are as in its checkpoint, which says nothing of
    how long and how fast it is tuned (`AFRESH`).

    Args:
        fixed: the options that must stay as they were.

    Returns:
        All of them, and those that a person chose, then or now, as arguments.

    Raises:
        InputError: there is no checkpoint of a model to tune, or an option cannot change.
    """
    from checkpoints import load_checkpoint

    for option in ("config", "resume"):
        if getattr(given, option) is not None:
            raise InputError(f"--consistency takes its options from a model, so not --{option} too")
    path: Path = given.consistency
    config = load_checkpoint(path)["config"]
    if config["objective"] == CONSISTENCY:
        raise InputError(f"--consistency: {path} is tuned already; --resume goes on with a run")
    if learns_jumps(config):
        raise InputError(f"--consistency: {path} samples in few steps already")
    if "epochs" not in config:
        raise InputError(
            f"--consistency: {path} was exported; the file that train.py wrote is needed"
        )
    config = {name: value for name, value in config.items() if name not in AFRESH}
    args, chosen = changed(parser, config, path, argv, fixed, "model is tuned")
    if "objective" in parser.given(argv) and args.objective != CONSISTENCY:
        raise InputError(f"--objective {args.objective} cannot go with --consistency")
    args.objective, args.consistency = CONSISTENCY, path
    if given.output_dir is None:
        folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        args.output_dir = folder / CONSISTENCY
    return args, [*chosen, f"--objective={CONSISTENCY}"]


def changed(
    parser: Parser,
    config: dict[str, Any],
    path: Path,
    argv: list[str],
    fixed: Iterable[str],
    when: str,
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a checkpoint, changed by the command line.

    Args:
        path: of the checkpoint.
        fixed: the options that must stay as they were.
        when: why they must, for a message.

    Returns:
        All of them, and those that a person chose, then or now, as arguments.

    Raises:
        InputError: an option cannot change.
    """
    options = as_arguments(parser, config, path)
    before, args = parser.parse_args(options), parser.parse_args(options + argv)
    for name in fixed:
        if getattr(args, name) != (value := getattr(before, name)):
            raise InputError(f"--{name} cannot change when a {when}; it was {value}")
    return args, as_arguments(parser, without_derived(config), path) + argv
