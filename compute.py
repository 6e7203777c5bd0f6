"""How the network is computed: in which precision, and compiled or not.

Both are chosen by the machine and the length of the run, unless the user chooses. Weights, samples
and the mathematics between two evaluations of the network are float32 in every case.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor

from errors import InputError
from guidance import Network

# TensorFloat-32 is float32 but for products on a GPU, which take ten bits of mantissa.
DTYPES = {
    **{"fp32": torch.float32, "tf32": torch.float32},
    **{"bf16": torch.bfloat16, "fp16": torch.float16},
}

Function = TypeVar("Function", bound=Callable[..., Tensor])


# -------------------------------------------------------------------------------------- threads


def usable_cores() -> int:
    """Cores that this process may use: a container or taskset can allow fewer than there are."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return cores if quota == "max" else min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return cores


def fit_threads_to_cores() -> str:
    """Let PyTorch use no more threads than cores; what to tell the user, empty if nothing.

    Threads beyond the cores wait for each other in every operation, and a step takes many times
    as long. A number that the user has set is left alone, but they are told.
    """
    threads, cores = torch.get_num_threads(), usable_cores()
    if threads <= cores:
        return ""
    if "OMP_NUM_THREADS" in os.environ:
        return f"OMP_NUM_THREADS asks for {threads} threads on {cores} usable cores: expect it slow"
    torch.set_num_threads(cores)
    return ""


# ------------------------------------------------------------------------------------ precision


def features_of_cpu() -> set[str]:
    """What this processor can do, by names that Linux and PyTorch share; empty if neither knows."""
    if hasattr(torch.cpu, "get_capabilities"):  # younger than the oldest PyTorch that will do
        return {name for name, there in torch.cpu.get_capabilities().items() if there is True}
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def has_bf16_matrix_unit(device: torch.device) -> bool:
    """Whether this processor multiplies matrices in bfloat16 much faster than in float32.

    On a CPU that takes AMX (Intel, since 2023) or the bfloat16 products of AVX-512 (AMD, since Zen
    4: measured there, a training step takes 0.6 of the time). Without them PyTorch emulates
    bfloat16, which is slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and not features_of_cpu().isdisjoint(("amx_bf16", "avx512_bf16"))


def choose_precision(name: str, kind: str, device: torch.device) -> str:
    """One of `DTYPES`. `auto` is bf16 for images where the processor is made for it, else fp32.

    Points stay in float32: three digits are too few for thin lines, and so small a network gains
    nothing. For the same reason `auto` is never tf32 for them; and for images every GPU that has
    TensorFloat-32 has the faster bfloat16 (NVIDIA since Ampere).

    Raises:
        InputError: tf32 elsewhere than on a GPU of CUDA.
    """
    if name == "tf32" and device.type != "cuda":
        raise InputError(f"--precision tf32 is for cuda only; on {device.type} use fp32")
    if name != "auto":
        return name
    return "bf16" if kind == "images" and has_bf16_matrix_unit(device) else "fp32"


def in_precision(network: Network, precision: str, device: torch.device) -> Network:
    """`network` computed in that precision; it takes and answers float32 all the same."""
    if device.type == "cuda":
        # For the whole process, and set in every case: cuDNN's is on unless it is turned off.
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if DTYPES[precision] == torch.float32:
        return network

    def run(*inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, DTYPES[precision]):
            return network(*inputs).float()

    return run


# ---------------------------------------------------------------------------------- compilation


def reason_not_to_compile(name: str, device: torch.device, worthwhile: bool) -> str:
    """Why `--compile auto` or `on` cannot or should not compile here; empty if it should.

    Args:
        worthwhile: compiling will save more time in this run than it takes.
    """
    if name == "off":
        return "--compile off"
    if name == "auto" and not worthwhile:
        return "it would not pay off in this run"
    if device.type == "mps":
        return "no compiler for mps"
    if device.type == "cpu" and not any(
        shutil.which(compiler) for compiler in (os.environ.get("CXX", ""), "g++", "clang++")
    ):
        return "no C++ compiler (g++ or clang++) found"
    return ""


def compile_or_fall_back(
    function: Function, trial: Callable[[Function], object], device: torch.device
) -> Function:
    """`function` compiled, after `trial` has called it once; `function` itself if that fails.

    A compiler can fail in very many ways (no headers, no disk space, a bug), and none of them
    should end a run that does as well without it.
    """
    # On a GPU the kernels of a step are recorded once and replayed as one, as a CUDA graph.
    mode = "reduce-overhead" if device.type == "cuda" else None
    compiled = cast(Function, torch.compile(function, dynamic=False, mode=mode))
    try:
        trial(compiled)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        text = str(error).strip() or repr(error)
        print(f"compiling failed, going on without: {text.splitlines()[0]}")
        return function
    return compiled
