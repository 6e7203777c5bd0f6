"""What a checkpoint holds of a run that is to go on, beside the weights and their average."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import InputError
from utils import random_state, set_random_state

if TYPE_CHECKING:
    from training import Trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """All that decides how the run goes on, and its record so far."""
    return {
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "scaler": trainer.scaler.state_dict(),
        "ema_updates": trainer.ema.updates,
        "step": trainer.step,
        "epoch": trainer.epoch,
        # In examples, since another number of processes may have other batches.
        "seen": trainer.position * trainer.batch_size,
        "order": trainer.order.cpu(),
        "random": random_state(trainer.device),
        "history": trainer.history.state(),
        "elapsed": time.perf_counter() - trainer.started,
        "data": trainer.data_digest,
    }


def restore(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Make a new trainer go on from a checkpoint, maybe in another number of processes.

    Raises:
        InputError: the data were others, or it is no such checkpoint.
    """
    try:
        state = checkpoint["training"]
        check_counts(state)
        if state["data"] != trainer.data_digest:
            raise InputError("--resume: the data are not those that the run began with")
        trainer.model.load_state_dict(checkpoint["model"])
        trainer.ema.model.load_state_dict(checkpoint["ema"])
        trainer.ema.updates = state["ema_updates"]
        for optimizer, held in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        if trainer.scaler.is_enabled() and state["scaler"]:
            trainer.scaler.load_state_dict(state["scaler"])
        trainer.step, trainer.epoch = state["step"], state["epoch"]
        trainer.position = math.ceil(state["seen"] / trainer.batch_size)
        trainer.order = state["order"].to(trainer.device)
        trainer.history.restore(state["history"])
        trainer.elapsed = state["elapsed"]
        set_random_state(state["random"], trainer.device)
        if trainer.position > 0 and len(trainer.order) != len(trainer.examples):
            raise ValueError("the order of the examples is of others")
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--resume: not a state to go on from ({error!r})") from error


def check_counts(state: dict[str, Any]) -> None:
    """Refuse counts that are none.

    Raises:
        ValueError: naming the first.
    """
    for name in ("step", "epoch", "seen", "ema_updates"):
        if type(state[name]) is not int or state[name] < 0:
            raise ValueError(f"{name} is {state[name]!r}")


def remove_older(newest: Path, keep: int | None) -> None:
    """Delete checkpoints that `newest` makes superfluous.

    Those within an epoch always are; of those after an epoch the last `keep` stay, or all.
    """
    others = [path for path in newest.parent.glob("model_*.pt") if path != newest]
    within = [path for path in others if path.name.startswith("model_step_")]
    after = sorted((path for path in others if path not in within), key=lambda p: p.stat().st_mtime)
    count = len(after) if keep is None else keep - newest.name.startswith("model_epoch_")
    for path in within + after[: len(after) - count]:
        path.unlink()
