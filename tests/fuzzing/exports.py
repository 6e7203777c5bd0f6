"""Exported weights: the .safetensors files that `sample.py --export` writes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from fuzzing.archives import SAMPLE
from fuzzing.base import Base
from fuzzing.core import DAMAGE, Case, Content, Recipe, flip, truncate

FILE = "model.safetensors"


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    command = (*SAMPLE, "--checkpoint", FILE)
    whole = base.files / "points.safetensors" if "damage" in name else None
    return Case(command, {FILE: recipe(base, rng)}, FILE if whole else None, whole)


def start_of_data(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def changed(change: Callable[[dict, bytes], tuple[Any, bytes]]) -> Recipe:
    """A recipe for a file with another header or other data."""

    def make(base: Base, rng: random.Random) -> Content:
        whole = base.read("points.safetensors")
        start = start_of_data(whole)
        header, data = change(json.loads(whole[8:start]), whole[start:])
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    return make


def metadata(**more: Any) -> Recipe:
    return changed(
        lambda header, data: ({**header, "__metadata__": {**header["__metadata__"], **more}}, data)
    )


def every_tensor(**more: Any) -> Recipe:
    def change(header: dict, data: bytes) -> tuple[dict, bytes]:
        return {k: v if k == "__metadata__" else {**v, **more} for k, v in header.items()}, data

    return changed(change)


def damaged(damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(base.read("points.safetensors"), rng)


def flip_weights(base: Base, rng: random.Random) -> Content:
    content = base.read("points.safetensors")
    return flip(content, rng, start_of_data(content))


RIGHT: dict[str, Recipe] = {"whole": lambda base, rng: base.read("points.safetensors")}
WRONG: dict[str, Recipe] = {
    "empty": lambda base, rng: b"",
    "short": lambda base, rng: b"\x01",
    "text": lambda base, rng: b"hello " * 100,
    "an-archive": lambda base, rng: base.read("points.pt"),
    "vast-header": lambda base, rng: b"\xff" * 7 + b"\x7f{}",
    "no-header": changed(lambda header, data: (b"", data)),
    "header-deep": changed(lambda header, data: (b'{"a":' * 100_000 + b"}" * 100_000, data)),
    "no-metadata": changed(
        lambda header, data: ({k: v for k, v in header.items() if k[0] != "_"}, data)
    ),
    "no-tensors": changed(lambda header, data: ({"__metadata__": header["__metadata__"]}, b"")),
    "config-deep": metadata(config="[" * 100_000),
    "config-list": metadata(config="[]"),
    "config-nothing": metadata(config="null"),
    "config-text": metadata(config="many"),
    "config-digits": metadata(config="9" * 100_000),
    "format-text": metadata(format="pt"),
    "format-99": metadata(format="99"),
    "format-lines": metadata(format="1\n" * 500),
    "format-digits": metadata(format="9" * 100_000),
    "format-object": metadata(format={}),
    "other-type": every_tensor(dtype="I32"),
    "unknown-type": every_tensor(dtype="F1"),
    "vast-shape": every_tensor(shape=[2**40]),
    "overlapping": every_tensor(data_offsets=[0, 4]),
    "outside": every_tensor(data_offsets=[0, 2**62]),
}
EITHER: dict[str, Recipe] = {"metadata-more": metadata(more="x" * 1_000_000)}
VARIED: dict[str, Recipe] = {
    "damage-flip": damaged(flip),
    "damage-flip-in-weights": flip_weights,
    "truncate": damaged(truncate),
    "damage-any": lambda base, rng: rng.choice(list(DAMAGE.values()))(
        base.read("points.safetensors"), rng
    ),
}
