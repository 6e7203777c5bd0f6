"""Options from a file: a configuration, or the checkpoint of a run to resume or a model to tune."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from cli.parser import Parser
from names import CONSISTENCY, FACTS, learns_jumps
from system.errors import InputError

LARGEST_CONFIG = 1_000_000  # bytes; a configuration with 10,000 classes has a tenth of that
OUTPUT_DIR = Path("outputs")
NEWEST = Path()  # the value of --resume without a file
# Entries of a file that are not options of a run: facts about the data, and the call of a script.
NO_OPTIONS = frozenset(FACTS) | {"config", "consistency", "resume", "quiet", "verbose", "given"}
# Options that a run does not take from the model that it tunes.
AFRESH = frozenset(
    "epochs lr output_dir sample_interval save_interval save_every_minutes show_image_step".split()
)


def read_config(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises:
        InputError: the file cannot be read, or does not contain an object.
    """
    import json  # imported here, since most runs have no such file

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
        raise InputError(f"--config {path} must contain an object of options, {{...}}")
    return options


def without_derived(config: dict[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """The options of a configuration that the user chose.

    The others were derived from these, and are derived again if the choices change. A value that
    was edited by hand counts as chosen.

    Args:
        given: options on the command line, which override those of the file.
    """
    derived = config.get("derived")
    if not isinstance(derived, dict):
        derived = {}
    chosen = {name: x for name, x in config.items() if name not in derived or derived[name] != x}
    by_hand = derived.keys() & chosen.keys()
    if "hidden_dims" in by_hand or "hidden_dims" in given:  # which replaces these two
        chosen |= {"hidden_size": None, "hidden_layers": None}
    return chosen


def as_arguments(parser: Parser, options: dict[str, Any], path: Path) -> list[str]:
    """The options of a configuration as command-line arguments, so that the same checks apply.

    Raises:
        InputError: there is no such option, or its value is not possible on a command line.
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
            raise InputError(
                f"{path}: {name} contains characters that are not possible in an option: {text!r}"
            )
        found.append(f"--{name}={text}")
    return found


def is_argument(text: str) -> bool:
    """Whether the system can pass this text to a program: it has no NUL and can be encoded."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def resumed(
    parser: Parser, given: argparse.Namespace, argv: list[str], fixed: Iterable[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of the run that `--resume` continues, changed by the command line.

    Args:
        fixed: the options that must not change.

    Returns:
        All options, and, as arguments, those that the user chose then or now.

    Raises:
        InputError: there is no checkpoint to resume from, or an option cannot change.
    """
    from checkpoints import load_checkpoint, newest_checkpoint

    if given.config is not None:
        raise InputError("--resume takes its options from the checkpoint, so not --config")
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
            f"--resume: {path} contains the weights only; use a file in checkpoints/, which"
            " contains the rest"
        )
    args, chosen = changed(parser, checkpoint["config"], path, argv, fixed, "run is resumed")
    args.output_dir, args.resume = folder, path
    return args, chosen


def tuned(
    parser: Parser, given: argparse.Namespace, argv: list[str], fixed: Iterable[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a run that tunes the model of `--consistency`, changed by the command line.

    The model and its data are those of the checkpoint; the number of epochs, the learning rate and
    the output are new (`AFRESH`).

    Args:
        fixed: the options that must not change.

    Returns:
        All options, and, as arguments, those that the user chose then or now.

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
        raise InputError(f"--consistency: {path} is tuned already; --resume continues a run")
    if learns_jumps(config):
        raise InputError(f"--consistency: {path} samples in few steps already")
    if "epochs" not in config:
        raise InputError(f"--consistency: {path} was exported; give the file that train.py wrote")
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
        fixed: the options that must not change.
        when: the reason, for a message.

    Returns:
        All options, and, as arguments, those that the user chose then or now.

    Raises:
        InputError: an option cannot change.
    """
    options = as_arguments(parser, config, path)
    before, args = parser.parse_args(options), parser.parse_args(options + argv)
    for name in fixed:
        if getattr(args, name) != (value := getattr(before, name)):
            raise InputError(f"--{name} cannot change when a {when}; it was {value}")
    return args, as_arguments(parser, without_derived(config), path) + argv
