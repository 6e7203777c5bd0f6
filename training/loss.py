"""The loss of a batch: an objective with precision, several processes and compilation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from diffusion import Model
from guidance import Conditioned, guided
from models.unet import BatchDropout
from system.compilation import compile_or_fall_back, reason_not_to_compile
from system.distributed import Group
from system.precision import in_precision
from training.objectives import Objective
from training.run import Run
from utils import random_state, set_random_state

COMPILE_EARNS = 200_000  # images above which compiling for a GPU saves time

# A function of the fields of a `Batch`, in their order.
BatchLoss = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]


def shared(model: nn.Module, group: Group) -> nn.Module:
    """The network, with gradients averaged over all processes."""
    if group.size == 1:
        return model
    for layer in model.modules():
        if isinstance(layer, BatchDropout):
            layer.part, layer.parts = group.rank, group.size
    return nn.parallel.DistributedDataParallel(model)


def make_loss(run: Run, objective: Objective) -> BatchLoss:
    """The loss of a batch, from its stored examples. It includes all use of the network and no
    random numbers, so that it can be compiled."""
    network = in_precision(shared(run.model, run.group), run.precision, run.device)
    if run.stages is not None:
        objective = partial(objective, stages=run.stages)
    units, diffusion, teach = run.units, run.diffusion, make_teacher(run)

    def loss(examples: Tensor, labels: Tensor | None, t: Tensor, eps: Tensor) -> Tensor:
        model, x0 = Conditioned(network, labels), units.to_model(examples)
        if teach is None:
            return objective(diffusion, model, x0, t, eps)
        return objective(diffusion, model, x0, t, eps, teacher=teach(labels))

    return loss


def make_teacher(run: Run) -> Callable[[Tensor | None], Model] | None:
    """A function from the labels of a batch to the teacher, guided if the run has guidance."""
    if run.teacher is None:
        return None
    network = in_precision(run.teacher, run.precision, run.device)
    guidance = run.settings.guidance
    if guidance is None:
        return partial(Conditioned, network)
    return partial(guided, network, classes=len(run.config["label_counts"]), guidance=guidance)


def compiled_if_worthwhile(loss: BatchLoss, run: Run) -> BatchLoss:
    """The loss, compiled if that is possible and saves more time than it takes."""
    images = run.total_steps * run.batches.size
    # Not on a CPU: convolutions take two thirds of a step there, and the fused rest takes as
    # long as PyTorch's own kernels (715 images/s compiled, 725 without; docs/RESULTS.md).
    worthwhile = run.device.type == "cuda" and images >= COMPILE_EARNS
    wanted = run.settings.compile
    if reason := reason_not_to_compile(wanted, run.device, worthwhile):
        if wanted == "on":
            print(f"not compiled: {reason}", flush=True)
        return loss

    def trial(candidate: BatchLoss) -> None:
        """A step without effect on the weights, with a batch of the run's shape."""
        indices = torch.arange(run.batches.size, device=run.device)
        candidate(*run.batches.draw(indices, torch.Generator(run.device))).mean().backward()
        run.model.zero_grad()

    print("compiling, which takes about half a minute ...", flush=True)
    before = random_state(run.device)  # dropout draws from it
    compiled = compile_or_fall_back(loss, trial, run.device)
    set_random_state(before, run.device)
    return compiled
