"""Several processes started by torchrun for one task: the rank of this one, and their exchange."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from system.console import is_one_of_several, nowhere
from system.errors import InputError
from system.threads import fit_threads_to_cores

# The others wait while the first process downloads data or trains the classifier of evaluate.py. If
# one fails, torchrun ends the rest at once.
PATIENCE = timedelta(hours=24)
MEETING = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets these besides WORLD_SIZE


@dataclass(frozen=True)
class Group:
    """The processes of a job. A process started without torchrun is the only one.

    Attributes:
        rank: the number of this process, from 0; only process 0 prints and writes.
        size: the number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, for each of them."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def largest(self, value: int) -> int:
        """The largest value over all processes, for each of them."""
        if self.size == 1:
            return value
        values = torch.tensor(value, device=exchange_device())
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values)

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Run the block in process 0 first, and then in all others."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def gather(self, part: Tensor, counts: list[int]) -> Tensor:
        """The parts of all processes, in order, for each of them.

        Args:
            part: (counts[rank], ...), on the CPU.
            counts: the length of each process's part.
        """
        if self.size == 1:
            return part
        # Not every backend can exchange parts of different lengths.
        longest = max(counts)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        device = exchange_device()
        parts = [torch.empty_like(padded, device=device) for _ in counts]
        dist.all_gather(parts, padded.to(device))
        return torch.cat([one[:n].cpu() for one, n in zip(parts, counts, strict=True)])


def exchange_device() -> str:
    """The device on which tensors must be for the exchange between processes."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """Join the other processes that torchrun started, if any, for the duration of the block. All
    but the first are silent.

    Raises:
        InputError: the environment says that there are several processes, but not how to connect.
    """
    if not is_one_of_several():
        yield Group()
        return
    if missing := [name for name in MEETING if name not in os.environ]:
        raise InputError(
            f"WORLD_SIZE is set as for several processes, but {', '.join(missing)} not; start the"
            " processes with torchrun, or unset WORLD_SIZE to run a single one"
        )
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    group = Group(dist.get_rank(), dist.get_world_size())
    out = nullcontext() if group.leads else redirect_stdout(nowhere())
    with out:
        yield group
    group.wait()  # a process that leaves early would break the others' connections
    gc.collect()  # frees reference cycles that still hold connections
    dist.destroy_process_group()


@contextmanager
def start(device: torch.device) -> Iterator[Group]:
    """The start of every script: join the other processes, and limit threads to cores."""
    with join(device) as group:
        if warning := fit_threads_to_cores():
            print(warning)
        yield group
