"""A training run: the state that changes in training, which checkpoints save and restore."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from checkpoints import check_like, load_checkpoint, reading
from datasets import Dataset
from datasets.units import make_units
from diffusion import Diffusion
from models import build_model
from names import LEARNED, PARTS, learns_jumps
from system.distributed import Group
from system.errors import InputError
from system.precision import choose_precision
from training.batches import Batches
from training.history import History
from training.learned_schedule import LearnedSchedule
from training.objectives.consistency import Stages
from training.objectives.shortcut import Jumps
from training.optimizers import Optimizers
from training.settings import TrainSettings
from utils import EMA, random_state, set_random_state


class Run:
    """A network in training, with all state that determines how training continues.

    Args:
        config: the configuration stored with the weights, which rebuilds the network and its
            process.
        diffusion: that process; the run uses its device.
        group: the processes that train together.

    Attributes:
        step: optimizer steps so far.
        epoch: the current epoch, from 1.
        stages: those of the objective `consistency`; None for other objectives.
        learned: the learned noise schedule; None for a fixed schedule.
        teacher: the network before tuning, for `consistency`; None without a teacher.

    Raises:
        InputError: there are too few examples, or the device does not support the precision.
        ValueError: the configured network cannot be built for these data.
    """

    def __init__(
        self,
        data: Dataset,
        config: dict[str, Any],
        diffusion: Diffusion,
        settings: TrainSettings,
        group: Group,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.group = config, settings, group
        self.diffusion, self.device = diffusion, diffusion.device
        self.units = make_units(config)
        self.model = build_model(config).to(self.device).train()
        self.precision = choose_precision(settings.precision, config["kind"], self.device)
        self.teacher = self.make_teacher()
        self.stages = Stages(diffusion) if settings.tunes else None
        classes, dropout = len(config["label_counts"]), config["label_dropout"]
        process = self.stages or (Jumps(diffusion) if learns_jumps(config) else diffusion)
        flip = bool(config.get("flip"))
        self.batches = Batches(data, process, settings.batch_size, classes, dropout, group, flip)
        self.ema = EMA(self.model, settings.ema_decay)
        self.optimizers = Optimizers(self.model, settings, self.precision, self.device)
        self.history = History()
        self.learned = self.make_learned_schedule()
        self.step = 0
        self.epoch = 1
        self.elapsed = 0.0  # seconds of training before this process
        self.start_clock()

    def make_teacher(self) -> torch.nn.Module | None:
        """The network for the teacher, if the run has one; its weights are loaded later."""
        if not self.settings.tunes or self.settings.no_teacher:
            return None
        return build_model(self.config).to(self.device).eval().requires_grad_(False)

    def make_learned_schedule(self) -> LearnedSchedule | None:
        """The learned noise schedule, if the run has one."""
        if self.config["schedule"] != LEARNED or self.settings.tunes:
            return None
        networks = (self.model, self.ema.model)
        return LearnedSchedule(self.diffusion, networks, self.config, self.group)

    def start_from(self, weights: dict[str, Any]) -> None:
        """Begin with the weights of a trained network."""
        for network in (self.model, self.ema.model, self.teacher):
            if network is not None:
                network.load_state_dict(weights)

    @property
    def total_steps(self) -> int:
        return self.settings.epochs * self.batches.per_epoch

    @property
    def steps_done(self) -> int:
        """Batches taken so far, in batches of the current size; `step` also counts steps taken with
        batches of another size."""
        return (self.epoch - 1) * self.batches.per_epoch + self.batches.position

    @property
    def progress(self) -> float:
        """The share of all steps that were done before the current one, from 0 to 1."""
        return (self.steps_done - 1) / self.total_steps

    @property
    def seconds(self) -> float:
        """Seconds of training, without interruptions."""
        return time.perf_counter() - self.started

    def start_clock(self) -> None:
        """Start to count seconds, in addition to those of earlier processes."""
        self.started = time.perf_counter() - self.elapsed

    def remaining_epochs(self) -> Iterator[int]:
        """The numbers of the remaining epochs, while the caller advances `epoch`."""
        while self.epoch <= self.settings.epochs:
            yield self.epoch

    def weights_are_finite(self) -> bool:
        weights = [*self.model.parameters(), *self.ema.averages]
        return all(bool(weight.isfinite().all()) for weight in weights)

    # ------------------------------------------------------------------- saved and restored

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint besides the weights and their average."""
        teacher = {} if self.teacher is None else {"teacher": self.teacher.state_dict()}
        learned = {} if self.learned is None else {"schedule": self.learned.state()}
        return {
            **teacher,
            **learned,
            **self.optimizers.state(),
            **self.batches.state(),
            "ema_updates": self.ema.updates,
            "step": self.step,
            "epoch": self.epoch,
            "random": random_state(self.device),
            "history": self.history.state(),
            "elapsed": self.seconds,
        }

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint, possibly with a different number of processes.

        Raises:
            InputError: the data have changed, or the file is not a training checkpoint.
        """
        checkpoint = load_checkpoint(path)
        with reading(path):
            state = self.checked(dict(checkpoint["training"]))
            self.model.load_state_dict(checkpoint["model"])
            self.ema.model.load_state_dict(checkpoint["ema"])
            self.ema.updates = state["ema_updates"]
            if self.teacher is not None:
                self.teacher.load_state_dict(state["teacher"])
            if self.learned is not None:
                self.learned.restore(state["schedule"], state["step"])
            self.optimizers.restore(state)
            self.batches.restore(state)
            self.step, self.epoch = state["step"], state["epoch"]
            self.history.restore(state["history"])
            self.elapsed = state["elapsed"]
            set_random_state(state["random"], self.device)

    def checked(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state in a checkpoint, after comparing it with what this run would write.

        Raises:
            InputError: the data have changed.
            ValueError: the state differs in form or is inconsistent, which can also raise other
                errors.
        """
        self.optimizers.fill_state()
        new = self.state()
        if state["data"] != new["data"]:
            raise InputError("--resume: the data are not those that the run began with")
        # On another machine, there may be no scaler, or the generator of another device.
        if not (state["scaler"] and new["scaler"]):
            state["scaler"] = new["scaler"]
        found = {name: x for name, x in state["random"].items() if name in new["random"]}
        state["random"] = {**new["random"], **found} if "cpu" in found else {}
        # Settings that are constants in the code are taken from the code.
        for held, fresh in zip(state["optimizers"], new["optimizers"], strict=True):
            held["param_groups"] = fresh["param_groups"]
        columns = new["history"].shape[1]
        new["history"] = new["history"].new_empty(state["step"], columns, device="meta")
        if self.learned is not None:
            path = self.learned.path.new_empty(state["epoch"] - 1, PARTS, device="meta")
            new["schedule"]["path"] = path
        check_like(state, new, "training")
        order = state["order"].sort().values
        if state["seen"] > len(order) or not torch.equal(order, torch.arange(len(order))):
            raise ValueError("training.order is not a permutation of the examples")
        return state
