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
