"""Several processes at one task, started by torchrun: who this one is, and what they exchange."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from system.console import is_one_of_several, nowhere
from system.errors import InputError
from system.threads import fit_threads_to_cores

MEETING = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets beside WORLD_SIZE


@dataclass(frozen=True)
class Group:
    """The processes of a job. One that was started without torchrun is alone.

    Attributes:
        rank: the number of this process, from 0; process 0 alone prints and writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, on each of them."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def largest(self, value: int) -> int:
        """The largest value of all processes, on each of them."""
        if self.size == 1:
            return value
        values = torch.tensor(value, device=exchange_device())
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values)

    def wait(self) -> None:
        """Until all processes have come this far."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The block runs in process 0, and then in all others."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def gather(self, part: Tensor, counts: list[int]) -> Tensor:
        """The parts of all processes, in order, on each of them.

        Args:
            part: (counts[rank], ...), on the CPU.
            counts: the length of each process's part.
        """
        if self.size == 1:
            return part
        # Equal lengths are what every backend can exchange.
        longest = max(counts)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        device = exchange_device()
        parts = [torch.empty_like(padded, device=device) for _ in counts]
        dist.all_gather(parts, padded.to(device))
        return torch.cat([one[:n].cpu() for one, n in zip(parts, counts, strict=True)])


def exchange_device() -> str:
    """Where tensors must be for the processes to exchange them."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """Be one of the processes that torchrun started, if it started several, for as long as the
    block lasts. Those but the first are silent.

    Raises:
        InputError: the environment speaks of several processes, but not of where they meet.
    """
    if not is_one_of_several():
        yield Group()
        return
    if missing := [name for name in MEETING if name not in os.environ]:
        raise InputError(
            f"WORLD_SIZE is set as for one of several processes, but {', '.join(missing)} not;"
            " start them with torchrun, or unset WORLD_SIZE to use this one alone"
        )
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = Group(dist.get_rank(), dist.get_world_size())
    out = nullcontext() if group.leads else redirect_stdout(nowhere())
    with out:
        yield group
    group.wait()  # who left earlier would take the others' connections along
    gc.collect()  # what still holds the connections, in cycles
    dist.destroy_process_group()


@contextmanager
def start(device: torch.device) -> Iterator[Group]:
    """What every script begins with: the other processes, and no more threads than cores."""
    with join(device) as group:
        if warning := fit_threads_to_cores():
            print(warning)
        yield group
