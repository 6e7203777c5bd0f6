"""Trained models that come with the project; `--checkpoint` finds them by their names."""

from __future__ import annotations

import os.path
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the available models."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def find(path: Path) -> Path:
    """The file of a pretrained model if `path` is its name; any other path unchanged."""
    if os.path.isfile(path) or str(path) not in names():
        return path
    return FOLDER / f"{path}.pt"
