"""Compiling a function with torch.compile where that is possible and worthwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Tensor])


def reason_not_to_compile(name: str, device: torch.device, worthwhile: bool) -> str:
    """Why not to compile under this `--compile` setting; empty if compiling is right.

    Args:
        worthwhile: whether compiling saves more time in this run than it takes.
    """
    if name == "off":
        return "--compile off"
    if name == "auto" and not worthwhile:
        return "it would take longer than it saves in this run"
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

    Compiling can fail in many ways (no headers, no disk space, a bug). None of them should end the
    run, since it works without compiling.
    """
    # On a GPU, the kernels of a step are recorded once and replayed together, as a CUDA graph.
    mode = "reduce-overhead" if device.type == "cuda" else None
    compiled = cast(Function, torch.compile(function, dynamic=False, mode=mode))
    try:
        trial(compiled)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        text = str(error).strip() or repr(error)
        print(f"compiling failed, continuing without it: {text.splitlines()[0]}")
        return function
    return compiled
