"""Trained models that come with the project; `--checkpoint` finds them by their names."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of the models that are there."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def find(path: Path) -> Path:
    """The file of the model of that name, or else `path`, which a file of a person's own is."""
    if path.exists() or len(path.parts) != 1 or path.name not in names():
        return path
    return FOLDER / f"{path.name}.pt"
