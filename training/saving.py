"""What a checkpoint holds of a run that is to go on, beside the weights and their average."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from checkpoints import check_like, load_checkpoint, reading
from system.errors import InputError
from training.optimizers import fill_state
from utils import random_state, set_random_state

if TYPE_CHECKING:
    from training.loop import Trainer


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


def checked_state(trainer: Trainer, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The state of a run in a checkpoint, compared with what a new run would write.

    Raises:
        InputError: the data were others.
        ValueError: it differs in form, or makes no sense; any other error: likewise.
    """
    fill_state(trainer.optimizers)
    state, new = dict(checkpoint["training"]), state_of(trainer)
    if state["data"] != new["data"]:
        raise InputError("--resume: the data are not those that the run began with")
    # On another machine: only half precision has a scaler, and each device a generator.
    if not (state["scaler"] and new["scaler"]):
        state["scaler"] = new["scaler"]
    found = {name: x for name, x in state["random"].items() if name in new["random"]}
    state["random"] = {**new["random"], **found} if "cpu" in found else {}
    # What is constant in the code is as the code has it.
    for held, fresh in zip(state["optimizers"], new["optimizers"], strict=True):
        held["param_groups"] = fresh["param_groups"]
    new["history"] = new["history"].new_empty(state["step"], new["history"].shape[1], device="meta")
    check_like(state, new, "training")
    order = state["order"].sort().values
    if state["seen"] > len(order) or not torch.equal(order, torch.arange(len(order))):
        raise ValueError("training.order is not an order of the examples")
    return state


def restore(trainer: Trainer, path: Path) -> None:
    """Make a new trainer go on from a checkpoint, maybe in another number of processes.

    Raises:
        InputError: the data were others, or it is no such checkpoint.
    """
    checkpoint = load_checkpoint(path)
    with reading(path):
        state = checked_state(trainer, checkpoint)
        trainer.model.load_state_dict(checkpoint["model"])
        trainer.ema.model.load_state_dict(checkpoint["ema"])
        trainer.ema.updates = state["ema_updates"]
        for optimizer, held in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        trainer.scaler.load_state_dict(state["scaler"])
        trainer.step, trainer.epoch = state["step"], state["epoch"]
        trainer.position = math.ceil(state["seen"] / trainer.batch_size)
        trainer.order = state["order"].to(trainer.device)
        trainer.history.restore(state["history"])
        trainer.elapsed = state["elapsed"]
        set_random_state(state["random"], trainer.device)
