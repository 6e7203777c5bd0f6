"""A run's folder: earlier runs are moved aside, and half-written files of killed runs deleted."""

from __future__ import annotations

import os
from pathlib import Path

from system.errors import InputError
from system.files import temporary_name

# What a training run writes into its folder.
RUN_FILES = (
    "config.json",
    "history.csv",
    "history.new.csv",  # see `files.move_into_place`
    "training_loss.png",
    "learned_schedule.png",
    "model_final.pt",
    "samples",
    "checkpoints",
    "tensorboard",
)
# The files that `atomic_write` writes there, and may have left half-written.
WRITTEN = (
    "config.json",
    "history.csv",
    "training_loss.png",
    "learned_schedule.png",
    "model_final.pt",
    "samples/epoch_*.png",
    "checkpoints/model_*.pt",
)


def set_earlier_run_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier_001` (or the next free number).

    Returns:
        Their new folder, or None if there was no earlier run.

    Raises:
        InputError: one of the files cannot be moved; then none is.
    """
    found = [folder / name for name in RUN_FILES if os.path.lexists(folder / name)]
    if not found:
        return None
    number = 1
    while os.path.lexists(aside := folder / f"earlier_{number:03d}"):
        number += 1
    aside.mkdir()
    moved: list[Path] = []
    try:
        for path in found:
            moved.append(path.rename(aside / path.name))
    except OSError as error:
        for path in moved:
            path.rename(folder / path.name)
        aside.rmdir()
        raise InputError(
            f"cannot move the earlier run in {folder} aside: {error.strerror}: {error.filename};"
            " nothing was changed"
        ) from None
    return aside


def remove_leftovers(folder: Path) -> None:
    """Delete the half-written files of runs that were killed while writing."""
    for name in WRITTEN:
        for path in folder.glob(str(temporary_name(Path(name), "*"))):
            number = path.stem.removesuffix(".tmp").rpartition(".")[2]
            # No process has a number of ten digits.
            a_process = number.isdecimal() and len(number) < 10
            if a_process and path.is_file() and not is_running(int(number)):
                path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # os.kill would end the process there, and a leftover does no harm
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to another user
    return True
