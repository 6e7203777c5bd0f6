"""From a checkpoint to samples: what sample.py and evaluate.py have in common."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from checkpoints import find_checkpoint, load_checkpoint
from cli.options import refuse_given
from datasets import CLASS_NAMES
from datasets.units import Units, make_units
from diffusion import Denoiser, Diffusion, make_diffusion
from guidance import (
    Network,
    conditioned,
    guided,
    guided_by,
    knows_unlabelled,
    with_examples,
    within,
)
from models import describe, load_model
from names import SAMPLERS
from plots.pictures import ImagePictures, PointPictures, make_pictures
from samplers import (
    accelerate,
    ddim,
    ddpm,
    dpmpp,
    heun,
    trailing_timesteps,
)
from system.compilation import compile_or_fall_back, reason_not_to_compile
from system.console import shows_bars
from system.distributed import Group
from system.errors import InputError, RunError
from system.precision import choose_precision, in_precision
from utils import SeededNoise

DEFAULT_CHECKPOINT = Path("outputs/model_final.pt")
NO_CLASS = "the model was trained with --label_dropout 0, so it knows no images without a class"
LARGEST_BATCH = {"images": 256, "points": 10_000}  # unless --batch_size is given
COMPILE_EARNS = 500_000  # evaluations (images times steps) from which on compiling pays
ALONE = Group()
Watch = Callable[[int, Tensor], None]
# What a guide must share with the model that it guides, beside the dataset.
SHARED_WITH_GUIDE = (
    *("prediction", "timesteps", "schedule"),
    *("beta_start", "beta_end", "sigma_min", "sigma_max", "mean", "scale"),
)


@dataclass
class Trained:
    """A trained network with all that its checkpoint says about it, and a worse one to guide it."""

    path: Path
    config: dict[str, Any]
    network: Network
    diffusion: Diffusion
    units: Units
    pictures: ImagePictures | PointPictures
    guide: Network | None = None

    @property
    def kind(self) -> str:
        return self.config["kind"]

    @property
    def classes(self) -> int:
        """How many classes the network was told of by labels; 0 for none."""
        return len(self.config["label_counts"])

    @property
    def labels(self) -> list[int]:
        """The classes that it has seen examples of."""
        return with_examples(self.config["label_counts"])

    @property
    def knows_unlabelled(self) -> bool:
        return knows_unlabelled(self.config)

    @property
    def last(self) -> int:
        """The noisiest timestep."""
        return len(self.diffusion.schedule) - 1


def locate(path: Path | None) -> tuple[Path, dict[str, Any]]:
    """A checkpoint and where it is; None looks in the default places.

    Raises:
        InputError: there is no checkpoint, or it is not a valid one.
    """
    path = path or find_checkpoint(DEFAULT_CHECKPOINT)
    return path, load_checkpoint(path)


def restore(path: Path | None, device: torch.device, use_ema: bool = True) -> Trained:
    """The network, process and units of a checkpoint, see `locate`."""
    path, checkpoint = locate(path)
    config = checkpoint["config"]
    try:
        model = load_model(checkpoint, use_ema=use_ema).to(device)
        units = make_units(config)
        pictures = make_pictures(units, CLASS_NAMES.get(config["dataset"], ()))
        trained = Trained(path, config, model, make_diffusion(config, device), units, pictures)
        network = describe(config, model)
        print(f"{path}: {config['dataset']}, T = {trained.last + 1}; {network} on {device}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its configuration is not valid ({error!r})") from error
    return trained


def denoising_timesteps(sampler: str, steps: int | None, total: int) -> list[int]:
    """The decreasing timesteps to visit; without a number of steps, the sampler's default.

    Raises:
        InputError: more steps than the process has timesteps.
    """
    try:
        return trailing_timesteps(total, steps or min(SAMPLERS[sampler].steps or total, total))
    except ValueError as error:
        raise InputError(f"--steps: {error}") from None


def batch_size(args: argparse.Namespace, kind: str) -> int:
    """The size of the fewest equal batches, of at most --batch_size, that are enough."""
    largest = args.batch_size or LARGEST_BATCH[kind]
    return math.ceil(args.num_images / math.ceil(args.num_images / largest))


def prepare_network(
    trained: Trained, args: argparse.Namespace, steps: int, device: torch.device
) -> str:
    """Put the network into the precision that suits the machine, compiled if that is worthwhile.

    Returns:
        The precision, for a line that says so.

    Raises:
        InputError: guidance for a network that knows no classes, or by one that does not fit it.
    """
    add_guide(trained, args, device)
    precision = choose_precision(args.precision, trained.kind, device)
    trained.network = in_precision(trained.network, precision, device)
    if trained.guide is not None:
        trained.guide = in_precision(trained.guide, precision, device)
    worthwhile = trained.kind == "images" and args.num_images * steps >= COMPILE_EARNS
    reason = reason_not_to_compile(args.compile, device, worthwhile)
    if reason:
        if args.compile == "on":
            print(f"not compiled: {reason}")
        return precision
    print("compiling, a quarter of a minute or so ...", flush=True)
    count = batch_size(args, trained.kind)
    labels = torch.zeros(count, dtype=torch.int64, device=device) if trained.classes else None
    x = torch.zeros(count, *trained.units.shape, device=device)

    def trial(candidate: Trained) -> None:
        denoise = make_denoiser(candidate, args, labels)
        for t in {0, trained.last, *(args.guidance_interval or ())}:  # with guidance and without
            denoise(x, min(t, trained.last))

    trained.network = compile_or_fall_back(
        trained.network, lambda network: trial(replace(trained, network=network)), device
    )
    if trained.guide is not None:
        trained.guide = compile_or_fall_back(
            trained.guide, lambda guide: trial(replace(trained, guide=guide)), device
        )
    return precision


def what_x_is(config: dict[str, Any]) -> dict[str, Any]:
    """All that decides what x means to a network, and what the network answers."""
    # Where somebody's drawing is says nothing, and exported weights do not tell it.
    data = {"dataset": Path(config["dataset"]).name}
    return data | {name: config.get(name) for name in SHARED_WITH_GUIDE}


def add_guide(trained: Trained, args: argparse.Namespace, device: torch.device) -> None:
    """Load the --guide, if there is one.

    Raises:
        InputError: it is not of the same data and process, or guidance has nothing to go by.
    """
    if args.guidance_interval and args.guidance_interval[0] > trained.last:
        raise InputError(f"--guidance_interval: the model's last timestep is {trained.last}")
    if args.guide is None:
        if not trained.classes:
            needs = "needs a model trained with --class_conditional, or a --guide"
            refuse_given(args, ["guidance"], needs)
        if not trained.knows_unlabelled and args.guidance not in (None, 1):
            raise InputError(f"--guidance needs a --guide here: {NO_CLASS}")
        return
    guide = restore(args.guide, device, use_ema=not args.no_ema)
    found, wanted = what_x_is(guide.config), what_x_is(trained.config)
    for name in wanted:
        if found[name] != wanted[name]:
            its, models = found[name], wanted[name]
            raise InputError(f"--guide {args.guide}: its {name} is {its}, the model's {models}")
    if (guide.labels, guide.knows_unlabelled) != (trained.labels, trained.knows_unlabelled):
        raise InputError(
            f"--guide {args.guide}: it and the model must have learned the same labels"
        )
    trained.guide = guide.network


def make_denoiser(trained: Trained, args: argparse.Namespace, labels: Tensor | None) -> Denoiser:
    """The network's estimates, told of labels (B,) if there are any, guided if it was asked for."""
    own = conditioned(trained.network, labels)
    plain = trained.diffusion.denoiser(own)
    if trained.guide is not None:
        model = guided_by(conditioned(trained.guide, labels), own, args.guidance)
    elif labels is not None and args.guidance is not None:
        model = guided(trained.network, labels, trained.classes, args.guidance)
    else:
        return plain
    helped = trained.diffusion.denoiser(model)
    return within(args.guidance_interval or (0, trained.last), helped, plain)


def run_sampler(
    trained: Trained,
    args: argparse.Namespace,
    timesteps: list[int],
    x: Tensor,
    noise: SeededNoise,
    labels: Tensor | None,
) -> Iterator[Tensor]:
    """The states after each step of the sampler that was asked for, from x on."""
    schedule = trained.diffusion.schedule
    denoise = make_denoiser(trained, args, labels)
    eta = args.eta or 0.0
    if args.sampler == "dpmpp":
        return dpmpp(denoise, x, schedule, timesteps, eta, noise.randn_like)
    if args.sampler == "heun":
        return heun(denoise, x, schedule, timesteps)
    if args.sampler == "ddpm":
        return ddpm(denoise, x, schedule, timesteps, randn_like=noise.randn_like)
    if args.momentum is not None:
        denoise = accelerate(denoise, schedule, args.momentum)
    return ddim(denoise, x, schedule, timesteps, eta, noise.randn_like)


def as_data(x: Tensor, units: Units) -> Tensor:
    """The last states (B, ...) as data.

    Raises:
        RunError: they are not finite.
    """
    if not bool(torch.isfinite(x).all()):
        raise RunError("the samples are not finite numbers; the model is broken")
    return units.to_data(x)


def generate(
    trained: Trained,
    args: argparse.Namespace,
    timesteps: list[int],
    device: torch.device,
    watch: Watch = lambda steps_done, x: None,
    labels: Tensor | None = None,
    group: Group = ALONE,
) -> Tensor:
    """All samples, as data, made batch by batch; `watch` sees each state of the first batch.

    Every batch is equally large, so that a compiled network sees one shape; what the last has too
    much is cut off. Processes take the batches in turn, so the samples do not depend on how many
    processes there are.

    Args:
        labels: of the samples, int64 (num_images,); None for a network without classes.

    Raises:
        RunError: the samples are not finite.
    """
    count = batch_size(args, trained.kind)
    starts = range(0, args.num_images, count)
    mine = starts[group.rank :: group.size]
    if labels is not None:
        labels = labels[torch.arange(len(starts) * count) % len(labels)]
    done = [trained.units.to_data(torch.empty(0, *trained.units.shape))]
    hidden = not (shows_bars(sys.stderr) and group.leads)
    with tqdm(total=len(mine) * len(timesteps), unit="step", disable=hidden) as bar:
        for start in mine:
            noise = SeededNoise(args.seed, start, count, device)
            x = trained.diffusion.starting_noise(noise.draw(*trained.units.shape))
            told = None if labels is None else labels[start : start + count].to(device)
            states = run_sampler(trained, args, timesteps, x, noise, told)
            if start == 0:
                watch(0, x)
            for steps_done, x in enumerate(states, start=1):
                if start == 0:
                    watch(steps_done, x)
                bar.update()
            done.append(as_data(x, trained.units))
    shares = [starts[rank :: group.size] for rank in range(group.size)]
    found = group.gather(torch.cat(done), [len(share) * count for share in shares])
    order = torch.tensor([start for share in shares for start in share]).argsort()
    return found.view(-1, count, *found.shape[1:])[order].flatten(0, 1)[: args.num_images]
