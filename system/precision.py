"""The precision in which a network is computed.

By default it depends on the machine and the kind of data. Weights, samples and the mathematics
between evaluations of the network are always float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from system.errors import InputError

# TensorFloat-32 is float32, except that matrix products on a GPU use ten bits of the mantissa.
DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def features_of_cpu() -> set[str]:
    """This processor's features, by names that Linux and PyTorch share; empty if unknown."""
    if hasattr(torch.cpu, "get_capabilities"):  # missing in the oldest supported PyTorch
        return {name for name, there in torch.cpu.get_capabilities().items() if there is True}
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def has_bf16_matrix_unit(device: torch.device) -> bool:
    """Whether this processor multiplies matrices much faster in bfloat16 than in float32.

    A CPU needs AMX (Intel, since 2023) or the bfloat16 products of AVX-512 (AMD, since Zen 4, where
    a training step takes 0.6 of the time). Otherwise PyTorch emulates bfloat16, which is slower
    than float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and not features_of_cpu().isdisjoint(("amx_bf16", "avx512_bf16"))


def choose_precision(name: str, kind: str, device: torch.device) -> str:
    """One of `DTYPES`. `auto` is bf16 for images if the processor supports it, and fp32 otherwise.

    Points stay in float32: three digits are too few for thin lines, and so small a network gains no
    speed. For the same reason, `auto` is never tf32 for points. For images, every GPU with
    TensorFloat-32 also has the faster bfloat16 (NVIDIA since Ampere).

    Raises:
        InputError: tf32 is requested on a device other than cuda.
    """
    if name == "tf32" and device.type != "cuda":
        raise InputError(f"--precision tf32 is for cuda only; on {device.type} use fp32")
    if name != "auto":
        return name
    return "bf16" if kind == "images" and has_bf16_matrix_unit(device) else "fp32"


def in_precision(
    network: Callable[..., Tensor], precision: str, device: torch.device
) -> Callable[..., Tensor]:
    """`network` computed in that precision; its inputs and outputs are still float32."""
    if device.type == "cuda":
        # These apply to the whole process. They are always set, since cuDNN's default is True.
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if DTYPES[precision] == torch.float32:
        return network

    def run(*inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, DTYPES[precision]):
            return network(*inputs).float()

    return run
