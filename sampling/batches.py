"""Samples from a trained network, made batch by batch, by one or several processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.units import Units
from guidance import cycle_labels
from samplers import final
from sampling.denoising import check_guidance, check_jumps, run_sampler
from sampling.settings import SampleSettings
from sampling.trained import Trained
from system.console import shows_bars
from system.distributed import Group
from system.errors import RunError
from utils import SeededNoise

ALONE = Group()
Watch = Callable[[int, Tensor], None]  # called with the number of steps done and x (B, ...)


def as_data(x: Tensor, units: Units) -> Tensor:
    """The final states (B, ...) of a sampler as data.

    Raises:
        RunError: they are not finite.
    """
    if not bool(torch.isfinite(x).all()):
        raise RunError("the samples are not finite numbers; the model is broken")
    return units.to_data(x)


def run_to_end(states: Iterator[Tensor], steps: int, units: Units) -> Tensor:
    """Run a sampler of that many steps with a progress bar; return its last state as data.

    Raises:
        RunError: the state is not finite.
    """
    bar = tqdm(states, total=steps, unit="step", disable=not shows_bars(sys.stderr))
    return as_data(final(bar), units)


def generate(
    trained: Trained,
    settings: SampleSettings,
    labels: Tensor | None = None,
    watch: Watch = lambda steps_done, x: None,
    group: Group = ALONE,
) -> Tensor:
    """All samples, as data, made batch by batch; `watch` sees each state of the first batch.

    All batches have the same size, so that a compiled network sees one shape; surplus samples in
    the last batch are dropped. Processes take batches in turn, so the samples do not depend on the
    number of processes.

    Args:
        labels: of the samples, int64 (count,). None cycles through the classes that the network
            knows; a network without classes takes no labels.

    Raises:
        InputError: see `check_guidance`, `check_jumps` and `SampleSettings.timesteps`.
        RunError: the samples are not finite.
    """
    check_guidance(trained, settings)
    check_jumps(trained, settings)
    count = settings.batch(trained.kind)
    starts = range(0, settings.count, count)
    mine = starts[group.rank :: group.size]
    if labels is None and trained.classes:
        labels = cycle_labels(trained.labels, settings.count)
    if labels is not None:
        labels = labels[torch.arange(len(starts) * count) % len(labels)]
    done = [trained.units.to_data(torch.empty(0, *trained.units.shape))]
    hidden = not (shows_bars(sys.stderr) and group.leads)
    steps = len(settings.timesteps(trained.diffusion.schedule))
    with tqdm(total=len(mine) * steps, unit="step", disable=hidden) as bar:
        for start in mine:
            its_labels = None if labels is None else labels[start : start + count]
            states = batch_states(trained, settings, start, count, its_labels)
            for steps_done, x in enumerate(states):
                if start == 0:
                    watch(steps_done, x)
                bar.update(steps_done > 0)
            done.append(as_data(x, trained.units))
    return gathered(torch.cat(done), starts, count, group)[: settings.count]


def batch_states(
    trained: Trained, settings: SampleSettings, start: int, count: int, labels: Tensor | None
) -> Iterator[Tensor]:
    """The starting noise and the state after each step, of samples start ... start + count - 1."""
    noise = SeededNoise(settings.seed, start, count, trained.device)
    t = settings.timesteps(trained.diffusion.schedule)[0]
    x = trained.diffusion.starting_noise(noise.draw(*trained.units.shape), t)
    yield x
    labels = None if labels is None else labels.to(trained.device)
    yield from run_sampler(trained, settings, x, noise, labels)


def gathered(part: Tensor, starts: range, count: int, group: Group) -> Tensor:
    """The samples of all processes, in order.

    Args:
        part: the samples of this process, which made every `group.size`-th batch.
        starts: the number of the first sample of each batch.
        count: the size of each batch.
    """
    shares = [starts[rank :: group.size] for rank in range(group.size)]
    found = group.gather(part, [len(share) * count for share in shares])
    order = torch.tensor([start for share in shares for start in share]).argsort()
    return found.view(-1, count, *found.shape[1:])[order].flatten(0, 1)
