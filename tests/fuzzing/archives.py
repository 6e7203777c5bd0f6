"""Checkpoints for sampling: the .pt archives that train.py writes."""

from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from fuzzing import hostile
from fuzzing.base import Base
from fuzzing.core import DAMAGE, Case, Content, Recipe, append, flip, truncate
from fuzzing.forging import (
    MARK,
    MARKER,
    Calls,
    all_vast,
    changed,
    config,
    members,
    more_weights,
    old_format,
    parts,
    renamed,
    rewritten,
    script,
    twice,
    weight,
    with_pickle,
)

FILE = "model.pt"
SAMPLE = ("sample.py", "--steps", "1", "--num_images", "1", "--output", "made.npy")
EVALUATE = ("evaluate.py", "--num_samples", "100", "--steps", "1", "--json", "figures.json")
SHOW = ("visualize_diffusion.py", "--no-gif")
COMMANDS = (*[SAMPLE] * 6, EVALUATE, SHOW)


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    recipe_name = name.split("/")[1]
    command = rng.choice(COMMANDS)
    if expected == "accepted" or "images" in recipe_name:
        command = SAMPLE  # to evaluate images would take a classifier's training
    for end, asked in (("-evaluated", EVALUATE), ("-shown", SHOW)):
        command = asked if recipe_name.endswith(end) else command
    whole = base.files / "points.pt" if "damage" in recipe_name else None
    command = (*command, "--checkpoint", FILE)
    return Case(command, {FILE: recipe(base, rng)}, FILE if whole else None, whole)


EXPANDED, META = hostile.TENSORS["vast-expanded"], hostile.TENSORS["vast-meta"]
HUGE = {"hidden_dims": [8192] * 100, "embedding_size": 8192}
UNET = {"kind": "images", "model": "unet", "dropout": 0.0, "no_attention": False}
UNET = {**UNET, "dataset": "digits", "base_channels": 8192, "shape": [1, 28, 28]}
VAST_IMAGES = {"kind": "images", "dataset": "digits", "shape": [3, 1024, 1024]}


def damaged(damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(base.read("points.pt"), rng)


def flip_weights(base: Base, rng: random.Random) -> Content:
    """One flipped bit among the numbers themselves, which are most of a larger file."""
    content = base.read("points.pt")
    tensor = rng.choice([data for name, data in members(base).items() if "/data/" in name])
    start = content.index(tensor)
    return flip(content, rng, start, start + len(tensor))


# ------------------------------------------------------------------------------------ recipes

DATASETS = {
    "unknown": "no_such_set",
    "missing-file": "gone.csv",
    "path": "/etc/passwd",
    "of-images": "digits",
    "nul": "a\0.csv",
    "surrogate": "\ud800.csv",
    "lines": "a\nb\n" * 300,
    "long": "x" * 4900 + ".png",
}


def of_points(whole: dict) -> dict:
    return {**whole, "config": {**whole["config"], "dataset": "dino"}}


BELIEVED: dict[str, Recipe] = {
    f"dataset-{name}-{used}": recipe
    for used in ("evaluated", "shown")
    for name, recipe in {
        **{name: config(dataset=value) for name, value in DATASETS.items()},
        "of-points": changed(of_points, "images.pt"),
    }.items()
}
RIGHT: dict[str, Recipe] = {
    "whole-points": lambda base, rng: base.read("points.pt"),
    "whole-images": lambda base, rng: base.read("images.pt"),
    "whole-epoch": lambda base, rng: base.read("epoch.pt"),
    "saved-again": changed(lambda whole: whole),
}
WRONG: dict[str, Recipe] = {
    "empty-archive": lambda base, rng: hostile.zipped({}),
    "text": lambda base, rng: b"hello " * 100,
    "zeros": lambda base, rng: bytes(100_000),
    "folder": lambda base, rng: Path.mkdir,
    "compressed": rewritten(lambda found: found, zipfile.ZIP_DEFLATED),
    "compressed-bomb": lambda base, rng: hostile.zipped(
        {**members(base), "model/data/0": bytes(300_000_000)}, zipfile.ZIP_DEFLATED
    ),
    "no-pickle": rewritten(lambda found: {k: v for k, v in found.items() if "pkl" not in k}),
    "no-data": rewritten(lambda found: {k: v for k, v in found.items() if "/data/" not in k}),
    "short-data": rewritten(
        lambda found: {k: v[:-1] if "/data/" in k else v for k, v in found.items()}
    ),
    "numpy-archive": lambda base, rng: hostile.zipped({"x.npy": b"\x93NUMPY\1\0v\0{}"}),
    "torch-script": script,
    "old-format": lambda base, rng: old_format(base.checkpoint("points.pt")),
    "bare-pickle": lambda base, rng: pickle.dumps({"format": 1}),
    "bare-pickle-code": lambda base, rng: pickle.dumps(MARK),
    "pickle-code": changed(lambda whole: MARK),
    "pickle-code-in-the-config": config(more=MARK),
    "pickle-code-in-format": changed(lambda whole: {**whole, "format": MARK}),
    "old-format-code": lambda base, rng: old_format(MARK),
    "pickle-eval": changed(lambda whole: Calls(eval, f"__import__('os').mkdir('{MARKER}')")),
    "pickle-protocol-9": with_pickle(b"\x80\x09}."),
    "pickle-stops-at-once": with_pickle(b"."),
    "pickle-deep": with_pickle(b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b"."),
    "pickle-endless-text": with_pickle(b"\x80\x02X\xff\xff\xff\xffx."),
    "pickle-huge-memo": with_pickle(b"\x80\x02}r\xff\xff\xff\xff."),
    "tensor": changed(lambda whole: torch.ones(3)),
    "list": changed(lambda whole: list(whole.items())),
    "numbered": changed(lambda whole: dict(enumerate(whole.values()))),
    **{
        f"format-{name}": changed(lambda whole, make=make: {**whole, "format": make()})
        for name, make in hostile.ALL.items()
        if name != "true"
    },
    "format-tensor-of-one": changed(lambda whole: {**whole, "format": torch.tensor([1, 1])}),
    "format-lines": changed(lambda whole: {**whole, "format": "1\n" * 500}),
    **{
        f"config-{name}": changed(lambda whole, make=make: {**whole, "config": make()})
        for name, make in hostile.ALL.items()
    },
    **{
        f"hidden_dims-{name}": config(hidden_dims=make())
        for name, make in hostile.DEEP_ONES.items()
    },
    "timesteps-billion-laughs": config(timesteps=hostile.laughs()),
    "dataset-deep-list": config(dataset=hostile.DEEP),
    "mean-deep-list": config(mean=hostile.DEEP),
    "scale-0": config(scale=0.0),
    "scale-1e-320": config(scale=1e-320),
    "scale-negative": config(scale=-1.0),
    "scale-infinite": config(scale=float("inf")),
    "mean-1e30": config(mean=[1e30, 1e30]),
    "mean-not-a-number": config(mean=[float("nan"), 0.0]),
    "hidden_dims-huge": config(**HUGE),
    "hidden_dims-huge-expanded": all_vast(EXPANDED, **HUGE),
    "hidden_dims-huge-meta": all_vast(META, **HUGE),
    "unet-huge": config(**UNET),
    "images-huge": config(**VAST_IMAGES),
    "images-huge-expanded": all_vast(EXPANDED, **VAST_IMAGES),
    "images-huger": config(**{**VAST_IMAGES, "shape": [3, 10**9, 10**9]}),
    "shape-of-other-data": config(shape=[1, 28, 28]),
    "unet-huge-expanded": all_vast(EXPANDED, **UNET),
    "unet-huge-meta": all_vast(META, **UNET),
    "learned-time-huge-expanded": all_vast(
        EXPANDED, time_embedding="learned", timesteps=100_000, embedding_size=8192
    ),
    "classes-huge-expanded": all_vast(
        EXPANDED, label_counts=[1] * 10_000, hidden_dims=[8192] * 100
    ),
    "embedding_size-odd": config(embedding_size=5),
    "beta_start-above-beta_end": config(beta_start=0.9, beta_end=0.1),
    "flow-of-eps": config(schedule="flow", prediction="eps", beta_start=None),
    **{
        f"weight-{name}": weight(lambda found, make=make: make())
        for name, make in hostile.ALL.items()
    },
    "weight-expanded-to-shape": weight(lambda found: torch.zeros(1).expand(found.shape)),
    "weight-sparse": weight(lambda found: found.to_sparse()),
    "weight-sparse-rows": weight(lambda found: found.reshape(len(found), -1).to_sparse_csr()),
    "weight-meta": weight(lambda found: found.to("meta")),
    "weight-whole-numbers": weight(lambda found: found.long()),
    "weight-complex": weight(lambda found: found.to(torch.complex64)),
    "weight-nested": weight(lambda found: torch.nested.nested_tensor(list(found))),
    "weight-quantized": weight(lambda found: torch.quantize_per_tensor(found, 0.1, 0, torch.qint8)),
    "weights-none": parts({}),
    "weights-list": parts([torch.ones(3)]),
    "weights-missing": changed(lambda whole: {k: v for k, v in whole.items() if k != "ema"}),
    "names-with-lines": renamed(lambda name: name + "\nx" * 500),
    "names-long": renamed(lambda name: name * 100_000),
    "names-numbers": renamed(len),
    "names-surrogates": renamed(lambda name: name + "\ud800"),
    "more-weights": more_weights(["more"]),
    "more-weights-with-lines": more_weights(["more\n" * 500]),
    "more-weights-many": more_weights([f"more.{k}" for k in range(20_000)]),
    **BELIEVED,
}
EITHER: dict[str, Recipe] = {
    "damage-comment": damaged(append),
    "members-twice": twice,
    "weight-not-a-number": weight(lambda found: found * float("nan")),
    "weight-infinite": weight(lambda found: found + float("inf")),
    "zipped-again": rewritten(lambda found: found),
    "config-more-deep": config(more=hostile.DEEP),
    "config-more-laughs": config(more=hostile.laughs()),
    "config-more-tensor": config(more=torch.zeros(1).expand(10**12)),
    "more-deep": changed(lambda whole: {**whole, "more": hostile.DEEP}),
    "more-vast": changed(lambda whole: {**whole, "more": torch.zeros(1).expand(10**12)}),
    "format-true": changed(lambda whole: {**whole, "format": True}),
    "format-1.0": changed(lambda whole: {**whole, "format": 1.0}),
    "weight-float64": weight(lambda found: found.double()),
    "weight-half": weight(lambda found: found.half()),
    "weight-needs-gradient": weight(lambda found: torch.nn.Parameter(found)),
    "weight-transposed": weight(lambda found: found.clone().t().contiguous().t()),
    "weight-1e30": weight(lambda found: found * 0 + 1e30),
    "mean-1e15": config(mean=[1e15, -1e15]),
    "scale-1e30": config(scale=1e30),
    "scale-1e-30": config(scale=1e-30),
    "timesteps-100000": config(timesteps=100_000),
    "timesteps-2": config(timesteps=2),
    "beta_start-0": config(beta_start=0.0),
    "beta_both-1": config(beta_start=1.0, beta_end=1.0),
    "sigma_min-0": config(schedule="log_linear", sigma_min=0.0),
    "sigma_both-0": config(schedule="log_linear", sigma_min=0.0, sigma_max=0.0),
    "sigma_min-1e-300": config(schedule="log_linear", sigma_min=1e-300),
    "embedding_scale-0": config(embedding_scale=0.0),
    "label_counts-zeros": config(label_counts=[0, 0]),
    "label_counts-10^12": config(label_counts=[10**12] * 2),
    "num_points-10^12-shown": config(num_points=10**12),
    "num_points-text-shown": config(num_points="many"),
    "subset-text-shown": config(subset="many"),
    "seed-2^63-shown": config(seed=2**63 - 1),
    "jitter-1e30-shown": config(jitter=1e30),
    "jitter-not-a-number": config(jitter=float("nan")),
}


def grafted(name: str) -> Recipe:
    def make(base: Base, rng: random.Random) -> Content:
        whole = base.checkpoint(name)
        part = rng.choice(["config", "config", "config", "model", "ema", "all"])
        if part == "all":
            return hostile.archive(hostile.graft(whole, rng, hostile.ALL))
        return hostile.archive({**whole, part: hostile.graft(whole[part], rng, hostile.ALL)})

    return make


VARIED: dict[str, Recipe] = {
    "grafted": grafted("points.pt"),
    "grafted-images": grafted("images.pt"),
    "damage-flip": damaged(flip),
    "damage-flip-in-weights": flip_weights,
    "truncate": damaged(truncate),
    "damage-any": lambda base, rng: rng.choice(list(DAMAGE.values()))(base.read("points.pt"), rng),
}
