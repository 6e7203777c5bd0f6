"""Values that no configuration and no training state should hold, and ways to put them in."""

from __future__ import annotations

import io
import math
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import torch

DEEP = "a list in a list, and so on"  # what `archive` puts in the place of this text
DEPTH = 100_000


def laughs() -> list:
    """A list that takes 1 kB in a file, and 10^12 words when it is written out."""
    value: list = ["ha"] * 10
    for _ in range(11):
        value = [value] * 10
    return value


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


PLAIN: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "minus-one": lambda: -1,
    "zero": lambda: 0,
    "half": lambda: 0.5,
    "10^12": lambda: 10**12,
    "10^400": lambda: 10**400,
    "1e308": lambda: 1e308,
    "1e-320": lambda: 1e-320,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "empty-text": lambda: "",
    "text": lambda: "many",
    "lines": lambda: "a\nb\n" * 300,
    "long-text": lambda: "x" * 1_000_000,
    "surrogate": lambda: "\ud800",
    "nul": lambda: "a\0b",
    "empty-list": lambda: [],
    "list": lambda: [1, 2, 3],
    "list-of-lists": lambda: [[1], [2]],
    "list-400-deep": lambda: nested(400),
    "object": lambda: {"a": 1},
    "10^5-numbers": lambda: list(range(100_000)),
}


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)


TENSORS: dict[str, Callable[[], Any]] = {
    "zeros": lambda: torch.zeros(3),
    "no-numbers": lambda: torch.zeros(0),
    "scalar": lambda: torch.tensor(1.0),
    "matrix": lambda: torch.zeros(5, 10),
    "float64": lambda: torch.zeros(50, dtype=torch.float64),
    "whole-numbers": lambda: torch.arange(50),
    "negative": lambda: -torch.arange(50),
    "bytes": lambda: torch.zeros(50, dtype=torch.uint8),
    "yes-or-no": lambda: torch.ones(50, dtype=torch.bool),
    "half-precision": lambda: torch.ones(50, dtype=torch.float16),
    "complex": lambda: torch.ones(50, dtype=torch.complex64),
    "not-a-number": lambda: torch.full((50,), math.nan),
    "infinite": lambda: torch.full((50,), math.inf),
    "sparse": lambda: torch.eye(5).to_sparse(),
    "sparse-rows": lambda: torch.eye(5).to_sparse_csr(),
    "meta": lambda: torch.zeros(50, device="meta"),
    "vast-meta": lambda: torch.zeros(10**12, device="meta"),
    "expanded": lambda: torch.zeros(1).expand(50),
    "vast-expanded": lambda: torch.zeros(1).expand(10**12),
    "vast-expanded-rows": lambda: torch.zeros(1, dtype=torch.float64).expand(10**9, 6),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": quantized,
    "overlapping": lambda: torch.zeros(10).as_strided((50, 5), (0, 1)),
    "parameter": lambda: torch.nn.Parameter(torch.ones(50)),
}
DEEP_ONES: dict[str, Callable[[], Any]] = {"deep-list": lambda: DEEP, "billion-laughs": laughs}
ALL = {**PLAIN, **TENSORS, **DEEP_ONES}

Path = tuple[Any, ...]  # keys and indices, from the outside in


def spots(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Where in nested dictionaries and lists there is something, containers included."""
    if path:
        yield path
    if isinstance(tree, dict):
        items = list(tree.items())
    else:
        items = list(enumerate(tree)) if isinstance(tree, list | tuple) else []
    for key, value in items:
        yield from spots(value, (*path, key))


def replace(tree: Any, path: Path, value: Any) -> Any:
    """A copy of a tree in which something else stands at `path`; the rest is shared."""
    copy = list(tree) if isinstance(tree, list | tuple) else dict(tree)
    copy[path[0]] = value if len(path) == 1 else replace(tree[path[0]], path[1:], value)
    return copy


def remove(tree: Any, path: Path) -> Any:
    copy = list(tree) if isinstance(tree, list | tuple) else dict(tree)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = remove(tree[path[0]], path[1:])
    return copy


def graft(tree: Any, rng: random.Random, values: dict[str, Callable[[], Any]]) -> Any:
    """A copy of a tree with one of the values somewhere, or with something missing or added."""
    path = rng.choice(list(spots(tree)))
    act = rng.random()
    if act < 0.1:
        return remove(tree, path)
    value = values[rng.choice(list(values))]()
    return replace(tree, (*path[:-1], "more") if act < 0.15 and is_name(path) else path, value)


def is_name(path: Path) -> bool:
    return isinstance(path[-1], str)


# ----------------------------------------------------------------------------------- archives


def archive(content: Any) -> bytes:
    """What torch.save writes, with a list that is `DEPTH` deep wherever `DEEP` stands."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    word = DEEP.encode()
    word = b"X" + len(word).to_bytes(4, "little") + word
    deep = pickle.EMPTY_LIST * DEPTH + pickle.APPEND * (DEPTH - 1)
    with zipfile.ZipFile(file) as whole:
        if word not in whole.read(data_name(whole)):
            return file.getvalue()
        members = {name: whole.read(name) for name in whole.namelist()}
        members[data_name(whole)] = members[data_name(whole)].replace(word, deep)
    return zipped(members)


def data_name(whole: zipfile.ZipFile) -> str:
    return next(name for name in whole.namelist() if name.endswith("/data.pkl"))


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()
