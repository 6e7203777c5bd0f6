"""The device, seeded noise, the moving average of the weights, and distances between points."""

from __future__ import annotations

import copy
import os

import numpy as np
import torch
from torch import Tensor, nn

from system.errors import InputError

# ---------------------------------------------------------------------------- device and noise


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes the first of cuda, mps, cpu that is available.

    Raises:
        InputError: the device is not available; the message names those that are.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    available = [device for device, is_there in there.items() if is_there]
    name = available[0] if name == "auto" else name
    if name not in available:
        raise InputError(f"no {name} device here; --device can be {' or '.join(available)}")
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # each of several processes has its own
        number = int(os.environ["LOCAL_RANK"])
        if number >= (gpus := torch.cuda.device_count()):
            raise InputError(f"there are more processes than GPUs here, of which there are {gpus}")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        return device
    return torch.device(name)


class SeededNoise:
    """Normal noise for samples start ... start + count - 1 of the endless sequence of a seed.

    Noise is drawn in blocks of 64 samples, each block with its own generator. So sample 70 of seed
    0 is the same image in a batch of 32 or of 500, and in any process.
    """

    BLOCK = 64

    def __init__(self, seed: int, start: int, count: int, device: torch.device | str) -> None:
        first, last = start // self.BLOCK, (start + count - 1) // self.BLOCK
        self.offset, self.count = start - first * self.BLOCK, count
        self.device = device
        self.generators = [
            torch.Generator(device).manual_seed(
                int(np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)[0])
            )
            for block in range(first, last + 1)
        ]

    def draw(self, *shape: int) -> Tensor:
        """The next noise for these samples: float32 (count, *shape)."""
        blocks = [
            torch.randn(self.BLOCK, *shape, generator=generator, device=self.device)
            for generator in self.generators
        ]
        return torch.cat(blocks)[self.offset : self.offset + self.count]

    def randn_like(self, x: Tensor) -> Tensor:
        return self.draw(*x.shape[1:])


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of PyTorch's generators on the CPU and on `device`."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Restore what `random_state` returned, as far as it includes this device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


# ------------------------------------------------------------------------------------------ EMA


POWER = 6.94  # gives a relative width (standard deviation) of 0.1, mid-range in the paper


def decay_of_average(update: int) -> float:
    """The decay at update n = 1, 2 ... of a moving average over the last eighth of the run so far.

    With a fixed decay, the average of a short run still includes the random start, and that of a
    long run spans too little. With (1 - 1/n)^(POWER + 1) the weights after update k count in
    proportion to (k / n)^POWER (Karras et al. 2024, arXiv:2312.02696, equations 1 and 2), so the
    average spans the same share of any run.
    """
    return (1 - 1 / update) ** (POWER + 1)


class EMA:
    """A moving average (EMA) of a network's weights, which gives better samples.

    It spans the last eighth of a run, see `decay_of_average`; `decay` is an upper limit.

    Attributes:
        model: a copy of the network with the averaged weights, for sampling.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.averages: list[Tensor] = list(self.model.parameters())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, decay_of_average(self.updates))
        # One fused call for all tensors instead of one per tensor.
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(self.averages, weights, 1 - decay)


# ------------------------------------------------------------------------------------ distances

FEW_DIMENSIONS = 16
AT_ONCE = 2**21  # distances held at a time: 8 MB, which fit into the processor's cache


def distances(a: Tensor, b: Tensor) -> Tensor:
    """The distances of all pairs, shape (N, M); in few dimensions they are computed by differences.

    The shortcut |a|^2 + |b|^2 - 2 a.b loses small distances to rounding: in float32, those up to
    1e-3 of the size of the points. Differences take half as long again for points, but ten times as
    long for features of 128 dimensions, which therefore use the shortcut.
    """
    by_differences = a.shape[1] <= FEW_DIMENSIONS
    mode = "donot_use_mm_for_euclid_dist" if by_differences else "use_mm_for_euclid_dist"
    return torch.cdist(a, b, compute_mode=mode)


def in_parts(a: Tensor, count: int) -> tuple[Tensor, ...]:
    """`a` in parts, each with at most `AT_ONCE` distances to `count` points."""
    return a.split(max(1, AT_ONCE // count))
