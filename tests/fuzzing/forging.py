"""How to forge archives: checkpoints that say something else, and files that only look like one."""

from __future__ import annotations

import io
import os
import random
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from fuzzing import hostile
from fuzzing.base import Base
from fuzzing.core import Content, Recipe


def changed(change: Callable[[dict], Any], name: str = "points.pt") -> Recipe:
    """A recipe for an archive of what `change` makes of a whole checkpoint."""
    return lambda base, rng: hostile.archive(change(base.checkpoint(name)))


def config(name: str = "points.pt", /, **options: Any) -> Recipe:
    return changed(lambda whole: {**whole, "config": {**whole["config"], **options}}, name)


def weight(make: Callable[[torch.Tensor], Any]) -> Recipe:
    """A recipe in which one of the weights, of both copies, is another."""

    def change(whole: dict) -> dict:
        name = next(iter(whole["model"]))
        parts = {k: {**whole[k], name: make(whole[k][name])} for k in ("model", "ema")}
        return {**whole, **parts}

    return changed(change)


def parts(value: Any) -> Recipe:
    return changed(lambda whole: {**whole, "model": value, "ema": value})


def renamed(change: Callable[[str], Any]) -> Recipe:
    def all_names(whole: dict) -> dict:
        many = {k: {change(n): w for n, w in whole[k].items()} for k in ("model", "ema")}
        return {**whole, **many}

    return changed(all_names)


def more_weights(names: list) -> Recipe:
    def add(whole: dict) -> dict:
        more = {name: torch.zeros(1) for name in names}
        return {**whole, **{k: {**whole[k], **more} for k in ("model", "ema")}}

    return changed(add)


def all_vast(vast: Callable[[], torch.Tensor], name: str = "points.pt", **options: Any) -> Recipe:
    """Weights that count as very many and take a few bytes, beside a configuration of as many."""

    def change(whole: dict) -> dict:
        weights = dict.fromkeys(whole["model"], vast())
        return {**whole, "config": {**whole["config"], **options}, "model": weights, "ema": weights}

    return changed(change, name)


# ----------------------------------------------------------------------------- hostile pickles


class Calls:
    """Pickles as a call of some function."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


MARKER = "code-ran"  # the folder that hostile pickles would make
MARK = Calls(os.mkdir, MARKER)


def members(base: Base, name: str = "points.pt") -> dict[str, bytes]:
    with zipfile.ZipFile(base.files / name) as whole:
        return {member: whole.read(member) for member in whole.namelist()}


def rewritten(change: Callable[[dict[str, bytes]], dict[str, bytes]], how: int = 0) -> Recipe:
    """A recipe for a checkpoint's archive with other members."""
    return lambda base, rng: hostile.zipped(change(members(base)), how)


def with_pickle(content: bytes) -> Recipe:
    return rewritten(
        lambda found: {k: content if k.endswith("data.pkl") else v for k, v in found.items()}
    )


def twice(base: Base, rng: random.Random) -> Content:
    """Every member is in the directory twice, over the same bytes."""
    file = io.BytesIO(base.read("points.pt"))
    with zipfile.ZipFile(file, "a") as archive:
        archive.filelist += archive.filelist
        archive.comment = b"so that the directory is written anew"
    return file.getvalue()


def old_format(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def script(base: Base, rng: random.Random) -> Content:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()
