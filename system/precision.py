"""The precision in which a network is computed.

The machine and the kind of data decide, unless the user chooses. Weights, samples and the
mathematics between two evaluations of the network are float32 in every case.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from system.errors import InputError

# TensorFloat-32 is float32 but for products on a GPU, which take ten bits of mantissa.
DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


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


def in_precision(
    network: Callable[..., Tensor], precision: str, device: torch.device
) -> Callable[..., Tensor]:
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
