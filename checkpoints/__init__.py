"""Checkpoints: plain dictionaries of tensors, numbers and strings, written atomically and checked
when they are read.

format      CHECKPOINT_FORMAT
config      the content of config.json, from which the network and the process are rebuilt
model       the weights of the last step
ema         their moving average
training    only in checkpoints/: the rest of a run's state, for --resume (training/run.py)

A file can come from an untrusted source. It is compared with the form that this program would have
written (`check_like`), and no network is built that is larger than its file by more than `ROOM`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pretrained
from checkpoints.schema import check_config, for_passing_on
from datasets import IMAGES
from datasets.units import ImageUnits
from models import build_model
from system.errors import InputError
from system.files import atomic_write, write_through_memory
from utils import EMA

# Since format 2, the v of log_linear is normalised to the same variance at all noise levels.
CHECKPOINT_FORMAT = 2
ROOM = 1_000_000  # bytes
# The only classes in a checkpoint, besides numbers, strings, lists and dictionaries.
PICKLED = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch \w+Storage")


def save_checkpoint(
    path: Path,
    config: dict[str, Any],
    model: nn.Module,
    ema: EMA,
    training: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint for sampling or, with `training`, for resuming a run."""
    checkpoint = {
        "format": CHECKPOINT_FORMAT,
        "config": config,
        "model": model.state_dict(),
        "ema": ema.model.state_dict(),
    }
    if training is not None:
        checkpoint["training"] = training
    write_through_memory(path, lambda file: torch.save(checkpoint, file))


def newest_checkpoint(folder: Path) -> Path | None:
    """The most recently written training checkpoint, or None."""
    files = [file for file in folder.glob("*.pt") if not file.name.startswith(".")]
    return max(files, key=lambda file: (file.stat().st_mtime_ns, file.name), default=None)


def find_checkpoint(path: Path) -> Path:
    """`path`, or, if it is missing, the newest checkpoint of an unfinished run beside it."""
    newest = None if path.exists() else newest_checkpoint(path.parent / "checkpoints")
    if newest is None:
        return path
    print(f"{path} does not exist (yet); using the newest checkpoint, {newest}")
    return newest


# ---------------------------------------------------------------------------------- reading


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error in reading and checking a file into one line with its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns about odd tensors
            yield
    except InputError:
        raise
    except Exception as error:  # damaged files can raise any error
        raise InputError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, or exported weights, onto the CPU, without running any code in the file.

    The returned configuration is valid, and the weights fit the network that it describes.

    Args:
        path: of the file, or the name of a model in `pretrained`.

    Raises:
        InputError: there is no such file, or it is not a complete checkpoint of this project.
    """
    path = pretrained.find(path)
    if not os.path.isfile(path):
        ready = ", ".join(pretrained.names())
        by_name = f", or name one of {ready}" if ready else ""
        raise InputError(f"no checkpoint at {path}; 'python train.py' makes one{by_name}")
    with reading(path):
        read = read_safetensors if path.suffix.lower() == ".safetensors" else read_archive
        content = read(path)
        if isinstance(content, dict) and isinstance(content.get("config"), dict):
            content["config"] = completed(content["config"])
        half = is_half(content)
        check_checkpoint(content, path.stat().st_size, half)
    # Only after the checks: unchecked content could take any amount of memory.
    return in_full(content) if half else content


def is_half(content: Any) -> bool:
    """Whether all weights are in half precision, an option of `export_weights`."""
    weights = content.get("model") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        return False
    return all(isinstance(one, Tensor) and one.dtype == torch.float16 for one in weights.values())


def in_full(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint in single precision, from exported weights in half precision."""
    full = {name: weight.float() for name, weight in content["model"].items()}
    return {**content, "model": full, "ema": full}


def read_archive(path: Path) -> Any:
    """The content of a file written by torch.save.

    Raises:
        ValueError: a byte of it has changed, or it would unpack to more than its own size.
        BadZipFile: it is not an archive, or is incomplete.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("it would unpack to more than its own size")
        # torch.load would read any bytes before the first member.
        if min(member.header_offset for member in members):
            raise ValueError("it is damaged: there is other content before the archive")
        if damaged := archive.testzip():
            raise ValueError(f"it is damaged: {damaged} is not what was written")
        pickles = [archive.read(one) for one in members if one.filename.endswith(".pkl")]
    # Other classes that torch.load allows could take far more memory than the file.
    for operation, name, _ in chain.from_iterable(map(pickletools.genops, pickles)):
        if operation.name == "GLOBAL" and not PICKLED.fullmatch(str(name)):
            raise ValueError(f"it contains {name}, unlike any checkpoint of this project")
    return torch.load(path, map_location="cpu", weights_only=True)


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the settings that earlier releases did not store.

    These are `shape`, `value_range` and `class_names`, which follow from the dataset; the newer
    settings of images; and the objective, of which there was only one. Nothing is filled in for
    datasets that those releases did not have.
    """
    name = config.get("dataset")
    known: dict[str, Any] = {"objective": "denoising", "guidance": None}
    if config.get("kind") == "points":
        known |= {"shape": [2], "value_range": None, "class_names": []}
    elif isinstance(name, str) and name in IMAGES:
        data = IMAGES[name]
        known |= ImageUnits(data.shape).facts() | {"class_names": list(data.class_names)}
        known |= {"background": None, "holdout": None, "flip": False}
    return {**known, **config}


def check_checkpoint(content: Any, size: int, half: bool = False) -> None:
    """Check that the content of a file of `size` bytes has the form that this program writes.

    Args:
        half: whether its weights are in half precision.

    Raises:
        ValueError: they differ; the message says how.
    """
    format = content.get("format") if isinstance(content, dict) else None
    if type(format) is not int or not 1 <= format <= CHECKPOINT_FORMAT:
        raise ValueError("it is not a checkpoint of this project, or is from a later version")
    config: dict[str, Any] = content.get("config", {})
    check_config(config)
    if format == 1 and (config["schedule"], config["prediction"]) == ("log_linear", "v"):
        raise ValueError("v of log_linear was redefined after this model was trained: train again")
    expected = build_model(config, device="meta").state_dict()
    if half:
        expected = {name: weight.half() for name, weight in expected.items()}
    if sum(weight.nbytes for weight in expected.values()) > size + ROOM:
        raise ValueError("it has too few weights for the network in its configuration")
    for part in ("model", "ema"):
        check_like(content.get(part), expected, part)


def check_like(found: Any, expected: Any, name: str) -> None:
    """Make sure that content read from a file has the form that this program would write.

    Dictionaries must have the same keys. Tensors must have the same shape and type, with a finite
    number in memory for each element (the expected ones may be on the device `meta`). Numbers must
    be finite and not negative.

    Raises:
        ValueError: the form differs; the message names the first place.
    """
    fits = isinstance(found, dict) if isinstance(expected, dict) else type(found) is type(expected)
    if fits and isinstance(expected, Tensor):
        fits = (found.shape, found.dtype) == (expected.shape, expected.dtype)
        fits = fits and found.untyped_storage().nbytes() >= found.nbytes
        fits = fits and bool(found.isfinite().all())
    elif fits and isinstance(expected, int | float):
        fits = 0 <= found < math.inf
    if not fits:
        raise ValueError(f"{name} is missing or is not a valid {type(expected).__name__}")
    if isinstance(expected, list | tuple):
        found, expected = dict(enumerate(found)), dict(enumerate(expected))
    if isinstance(expected, dict):
        for key in found.keys() - expected.keys():
            raise ValueError(f"unexpected entry {name}.{key}")
        for key, value in expected.items():
            check_like(found.get(key), value, f"{name}.{key}")


# ---------------------------------------------------------------------------------- passing on


def export_weights(
    path: Path, config: dict[str, Any], weights: Mapping[str, Tensor], half: bool = False
) -> None:
    """Write weights to share with others, with the settings that sampling needs.

    Args:
        path: a .pt file, or a .safetensors file, which needs the package of that name.
        half: use half precision, which takes half the space and keeps 11 bits of each weight.

    Raises:
        InputError: the package is not installed, or a weight is too large for half precision.
    """
    kept = for_passing_on(config)
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    if half:
        weights = {name: weight.half() for name, weight in weights.items()}
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise InputError("--half: a weight is too large for half precision")
    if path.suffix.lower() == ".safetensors":
        write_safetensors(path, kept, weights)
        return
    # The two parts are the same tensors, so they are saved once.
    content = {"format": CHECKPOINT_FORMAT, "config": kept, "model": weights, "ema": weights}
    write_through_memory(path, lambda file: torch.save(content, file))


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


def digest(config: str, weights: Mapping[str, Tensor]) -> str:
    """A fingerprint of exported weights and their configuration."""
    found = hashlib.sha256(config.encode())
    for name in sorted(weights):
        found.update(name.encode() + weights[name].numpy().tobytes())
    return found.hexdigest()


def write_safetensors(path: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Write weights, with a configuration in the file's metadata."""
    library = import_safetensors()
    text = json.dumps(config)
    metadata = {"format": str(CHECKPOINT_FORMAT), "config": text, "sha256": digest(text, weights)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(library.torch.save(weights, metadata))


def read_safetensors(path: Path) -> dict[str, Any]:
    """Exported weights as a checkpoint, in which they also serve as the moving average.

    Raises:
        ValueError: they are not from this project, or changed after they were written.
    """
    library = import_safetensors()
    with library.safe_open(path, "pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        format, config = int(metadata["format"]), json.loads(metadata["config"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("it is not a model of this project") from None
    # The first release (format 1) wrote no digest.
    if format > 1 and metadata["sha256"] != digest(metadata["config"], weights):
        raise ValueError("it is damaged: its content is not what was written")
    return {"format": format, "config": config, "model": weights, "ema": weights}
