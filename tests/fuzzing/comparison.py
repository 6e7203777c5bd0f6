"""Whether two checkpoints hold the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def same_content(path: Path, other: Path) -> bool:
    """Whether two checkpoints hold the same, bit for bit; what cannot be read does not."""
    try:
        return fingerprint(path) == fingerprint(other)
    except Exception:  # a damaged file fails in very many ways
        return False


def fingerprint(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            told = file.metadata()
        # Whatever else the metadata hold guards these, or is not read.
        return plain([weights, told.get("format"), told.get("config")])
    return plain(torch.load(path, map_location="cpu", weights_only=True))


def plain(tree: Any) -> Any:
    """The same with tensors as bytes, so that `==` compares the whole of it."""
    if isinstance(tree, torch.Tensor):
        return str(tree.dtype), tuple(tree.shape), tree.contiguous().view(-1).numpy().tobytes()
    if isinstance(tree, dict):
        return {name: plain(value) for name, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list | tuple) else repr(tree)
