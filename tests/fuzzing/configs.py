"""Configurations: the .json file of `train.py --config`."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.base import Base
from fuzzing.core import DAMAGE, Case, Content, Recipe
from fuzzing.hostile import PLAIN, graft, nested

FILE = "options.json"
# Where these are damaged a run could last for ever, or write outside its folder.
SAFE = "--epochs 1 --num_points 50 --batch_size 10 --num_samples 10 --output_dir outputs".split()


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    options = SAFE if name.split("/")[1] in VARIED else []
    command = ("train.py", "--config", FILE, *options)
    return Case(command, {FILE: recipe(base, rng)})


def changed(**options: Any) -> Recipe:
    """A recipe for the configuration of the run of points with some options changed."""
    return lambda base, rng: json.dumps({**base.config, **options}).encode()


def without(*names: str, **options: Any) -> Recipe:
    def make(base: Base, rng: random.Random) -> Content:
        left = {name: value for name, value in base.config.items() if name not in names}
        return json.dumps({**left, **options}).encode()

    return make


def drawn(**options: Any) -> Recipe:
    """The same for another schedule, on which the options of the first have no meaning."""
    return without("beta_start", "beta_end", **options)


def raw(content: str | bytes) -> Recipe:
    content = content.encode() if isinstance(content, str) else content
    return lambda base, rng: content


def around(before: str, after: str = "", encoding: str = "utf-8") -> Recipe:
    """The whole configuration with something before and after it, or in another encoding."""
    return lambda base, rng: (before + json.dumps(base.config) + after).encode(encoding)


def link(target: str) -> Recipe:
    return lambda base, rng: lambda path: path.symlink_to(target)


def many_names(count: int) -> Recipe:
    def make(base: Base, rng: random.Random) -> Content:
        return json.dumps({**base.config, **{f"unknown_{k}": k for k in range(count)}}).encode()

    return make


BRACKETS = "[" * 100_000
OBJECTS = '{"a":' * 100_000
RIGHT: dict[str, Recipe] = {
    "whole": changed(),
    "bom": around("", encoding="utf-8-sig"),
    "white-space": around("\r\n\t ", " \r\n"),
    "part": raw(json.dumps({"dataset": "line", "epochs": 1, "num_points": 50, "batch_size": 10})),
}
WRONG: dict[str, Recipe] = {
    "empty": raw(""),
    "bom-only": raw(b"\xef\xbb\xbf"),
    "truncated": lambda base, rng: json.dumps(base.config).encode()[:-1],
    "null": raw("null"),
    "number": raw("1"),
    "list": raw("[]"),
    "text": raw('"dataset"'),
    "python": raw("{'dataset': 'line'}"),
    "two-objects": around("", "{}"),
    "nul-bytes": raw(bytes(10_000)),
    "latin-1": raw('{"dataset": "höhe.csv"}'.encode("latin-1")),
    "100000-brackets": raw(BRACKETS),
    "100000-brackets-closed": raw(BRACKETS + "]" * 100_000),
    "100000-objects": raw(OBJECTS),
    "100000-brackets-in-an-option": raw('{"dataset":' + BRACKETS + "]" * 100_000 + "}"),
    "800-brackets-in-an-option": changed(dataset=nested(800)),
    "digits": raw('{"epochs": ' + "9" * 100_000 + "}"),
    "infinite": raw('{"lr": Infinity}'),
    "not-a-number": raw('{"lr": NaN}'),
    "object-in-an-option": changed(lr={"a": 1}),
    "unknown-name": changed(learning_speed=1),
    "100000-unknown-names": many_names(100_000),
    "600000-unknown-names": many_names(600_000),
    "name-of-a-megabyte": changed(**{"x" * 1_000_000: 1}),
    "value-of-20-megabytes": changed(dataset="x" * 20_000_000),
    "name-with-lines": changed(**{"a\nb\n" * 100: 1}),
    "value-with-lines": changed(dataset="a\nb\n" * 100),
    "name-with-nul": changed(**{"a\0": 1}),
    "name-with-surrogate": changed(**{"\ud800": 1}),
    "name-with-options": changed(**{"lr=1 --epochs": 1}),
    "nul-in-the-dataset": changed(dataset="a\0.csv"),
    "nul-in-a-picture": changed(dataset="a\0.png"),
    "surrogate-in-the-dataset": changed(dataset="\ud800.csv"),
    "surrogate-in-a-name": changed(dataset="\ud800"),
    "nul-in-the-output": changed(output_dir="a\0"),
    "surrogate-in-the-output": changed(output_dir="\ud800"),
    "long-output": changed(output_dir="x" * 5000),
    "output-in-a-file": changed(output_dir="options.json/outputs"),
    "long-dataset": changed(dataset="x" * 5000 + ".csv"),
    "dev-zero": link("/dev/zero"),
    "dev-random": link("/dev/urandom"),
    "pipe": lambda base, rng: os.mkfifo,
    "folder": lambda base, rng: Path.mkdir,
    "link-to-itself": link(FILE),
    "link-to-nothing": link("nothing.json"),
    "num_points-10^12": changed(num_points=10**12),
    "num_points-10^30": changed(num_points=10**30),
    "num_samples-10^12": changed(num_samples=10**12),
    "num_samples-10^30": changed(num_samples=10**30),
    "timesteps-10^12": changed(timesteps=10**12),
    "hidden_dims-10^12": changed(hidden_dims=[10**12]),
    "hidden_dims-negative": changed(hidden_dims=[8, -8]),
    "hidden_dims-nested": changed(hidden_dims=[[8], [8]]),
    "hidden_dims-empty": changed(hidden_dims=[]),
    "hidden_dims-10^5": changed(hidden_dims=[8] * 100_000),
    "embedding_size-odd": changed(embedding_size=5),
    "embedding_scale-infinite": changed(embedding_scale=float("inf")),
    "lr-huge": changed(lr=1e308),
    "seed-huge": changed(seed=2**64),
    "seed-negative": changed(seed=-1),
    "compile-true": changed(compile=True),
    "sigma_min-1e-300": drawn(schedule="log_linear", sigma_min=1e-300),
    "beta_end-1": changed(beta_end=1.0),
    "beta_start-above-beta_end": changed(beta_start=0.02, beta_end=0.01),
}
EITHER: dict[str, Recipe] = {
    "unknown-name-that-is-null": changed(learning_speed=None),
    "sigma_min-1e-40": drawn(schedule="log_linear", sigma_min=1e-40),
    "utf-16": around("", encoding="utf-16"),
    "one-name-twice": raw(
        '{"dataset": "line", "num_points": 50, "epochs": 1, "epochs": 1, "num_points": 60}'
    ),
    "empty-name": changed(**{"": 1}),
    "name-of-dashes": changed(**{"--": 1}),
    "name-help": changed(help=True),
    "values-as-texts": lambda base, rng: json.dumps(
        {name: str(x) if type(x) in (int, float) else x for name, x in base.config.items()}
    ).encode(),
    "slash-in-the-dataset": changed(dataset="./line"),
    "dataset-dash": changed(dataset="-"),
    "beta_both-0.9999": changed(schedule="sigmoid", beta_start=0.9999, beta_end=0.9999),
    "linear-beta-0.9995": changed(schedule="linear", beta_start=0.9995, beta_end=0.9999),
    "beta_start-1e-300": changed(beta_start=1e-300),
    "beta_both-1e-300": changed(beta_start=1e-300, beta_end=1e-300),
    "beta_both-1e-12": changed(beta_start=1e-12, beta_end=1e-12),
    "sigma_max-1e6": drawn(schedule="log_linear", sigma_min=0.1, sigma_max=1e6),
    "sigma-close": drawn(schedule="log_linear", sigma_min=1.0, sigma_max=1.0000001),
    "jitter-1e308": changed(jitter=1e308),
    "grad_clip-1e308": changed(grad_clip=1e308),
    "grad_clip-1e-320": changed(grad_clip=1e-320),
    "ema_decay-0": changed(ema_decay=0),
    "embedding_scale-1e-300": changed(embedding_scale=1e-300),
    "save_every_minutes-1e-300": changed(save_every_minutes=1e-300),
    "show_image_step-10^12": changed(show_image_step=10**12),
    "batch_size-10^12": changed(batch_size=10**12),
    "num_points-3": changed(num_points=3),
    "three-points-in-one-batch": changed(num_points=3, batch_size=3),
    "timesteps-2": changed(timesteps=2),
    "timesteps-100000": changed(timesteps=100_000),
    "hidden_dims-1": changed(hidden_dims=[1]),
    "subset-1": changed(subset=1),
    "ignored-names-of-any-kind": changed(
        mean={}, scale="\0", label_counts=[[]], resume=1, config=2
    ),
}


def text_without_paths(base: Base) -> str:
    kept = {name: x for name, x in base.config.items() if name not in ("output_dir", "data_dir")}
    return json.dumps(kept)


def damaged(damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(text_without_paths(base).encode(), rng)


def grafted(base: Base, rng: random.Random) -> Content:
    tree = json.loads(text_without_paths(base))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        tree = graft(tree, rng, PLAIN) or {"dataset": "line"}
    return json.dumps(tree).encode()


TOKENS = (
    *("{", "}", "[", "]", '"', ",", ":", "null", "true", "NaN", "-Infinity", "\\u0000", "\\ud800"),
    *("\\", "\0", "\n", "1e999", "-", "--", "//", "/*", "\u2028", "'", "1" * 5000),
)


def spliced(base: Base, rng: random.Random) -> Content:
    text = text_without_paths(base)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(TOKENS) + text[at + rng.choice([0, 0, 1, 5]) :]
    return text.encode()


VARIED: dict[str, Recipe] = {
    "grafted": grafted,
    "grafted-too": grafted,
    "spliced": spliced,
    **{name: damaged(damage) for name, damage in DAMAGE.items()},
}
