"""Checkpoints: plain dictionaries of tensors, numbers and strings, written whole, read warily.

format      CHECKPOINT_FORMAT
config      what config.json holds: it rebuilds the network and the process
model       the weights of the last step
ema         their moving average
training    only in checkpoints/: all else that a run needs to go on, see resume.py
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError
from files import atomic_write, write_through_memory
from schema import check_config
from utils import EMA

CHECKPOINT_FORMAT = 1


def save_checkpoint(
    path: Path,
    config: dict[str, Any],
    model: nn.Module,
    ema: EMA,
    training: dict[str, Any] | None = None,
) -> None:
    """Write what sampling needs and, with `training`, what going on with a run needs."""
    checkpoint = {
        "format": CHECKPOINT_FORMAT,
        "config": config,
        "model": model.state_dict(),
        "ema": ema.model.state_dict(),
    }
    if training is not None:
        checkpoint["training"] = training
    write_through_memory(path, lambda file: torch.save(checkpoint, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, or exported weights, onto the CPU; no code in the file is ever run.

    Raises:
        InputError: no such file, or not a complete checkpoint of this project.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a checkpoint file")
    if not path.exists():
        raise InputError(f"no checkpoint at {path}; 'python train.py' makes one")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; it holds no checkpoint")
    checkpoint = read_safetensors(path) if path.suffix == ".safetensors" else read_archive(path)
    if not isinstance(checkpoint, dict) or "format" not in checkpoint:
        raise InputError(f"{path} is a PyTorch file, but not a checkpoint of this project")
    if checkpoint["format"] != CHECKPOINT_FORMAT:
        raise InputError(
            f"{path} has checkpoint format {checkpoint['format']}; this version reads"
            f" {CHECKPOINT_FORMAT}"
        )
    if not all(are_weights(checkpoint.get(part)) for part in ("model", "ema")):
        raise InputError(f"{path} holds no weights of a model")
    try:
        check_config(checkpoint.get("config"))
    except ValueError as error:
        raise InputError(f"{path}: its configuration is not valid: {error}") from None
    return checkpoint


def are_weights(found: Any) -> bool:
    """Whether something is a dictionary of named tensors."""
    return isinstance(found, dict) and all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in found.items()
    )


def read_archive(path: Path) -> Any:
    """The content of a file written by torch.save."""
    try:
        check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint fail in very many ways
        raise InputError(
            f"{path} cannot be read: it is truncated, or not a checkpoint ({type(error).__name__})"
        ) from error


def check_archive(path: Path) -> None:
    """Refuse what could unpack to more than the file's own size.

    Raises:
        ValueError: a member is compressed, which torch.save never does, or members overlap.
        BadZipFile: it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("compressed")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("larger inside than outside")


def newest_checkpoint(folder: Path) -> Path | None:
    """The training checkpoint that was written last, or None."""
    files = [file for file in folder.glob("*.pt") if not file.name.startswith(".")]
    return max(files, key=lambda file: (file.stat().st_mtime_ns, file.name), default=None)


def find_checkpoint(path: Path) -> Path:
    """`path`, or where it is missing the newest checkpoint of an unfinished run beside it."""
    newest = None if path.exists() else newest_checkpoint(path.parent / "checkpoints")
    if newest is None:
        return path
    print(f"{path} is not there (yet); using the newest checkpoint, {newest}")
    return newest


# ---------------------------------------------------------------------------------- safetensors


def import_safetensors() -> Any:
    """The optional package that reads and writes .safetensors files.

    Raises:
        InputError: it is not installed.
    """
    try:
        import safetensors.torch
    except ImportError:
        raise InputError(
            ".safetensors files need one more package: pip install safetensors"
        ) from None
    return safetensors


def export_safetensors(path: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Write weights for passing on, with the configuration in the file's metadata."""
    library = import_safetensors()
    metadata = {"format": str(CHECKPOINT_FORMAT), "config": json.dumps(config)}
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    content = library.torch.save(weights, metadata)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Exported weights as a checkpoint, in which they stand for the moving average too."""
    library = import_safetensors()
    try:
        with library.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    try:
        found = {"format": int(metadata["format"]), "config": json.loads(metadata["config"])}
    except (KeyError, ValueError):
        raise InputError(f"{path} holds weights, but not of a model of this project") from None
    return {**found, "model": weights, "ema": weights}
