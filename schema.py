"""What a configuration in a checkpoint may say: names, types and ranges.

A checkpoint can come from anywhere. What is checked here bounds what it can ask for; whether the
file holds enough weights for the network that the configuration describes is counted before that
network is built (`models.load_model`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cli import LOSS_WEIGHTINGS, PREDICTIONS, SCHEDULES, TIME_EMBEDDINGS

# A rule says what a value must be, or nothing ("") where it is.
Rule = Callable[[Any], str]


def whole(low: int, high: int) -> Rule:
    def check(value: Any) -> str:
        fits = type(value) is int and low <= value <= high
        return "" if fits else f"a whole number from {low} to {high}"

    return check


def real(low: float, high: float) -> Rule:
    def check(value: Any) -> str:
        fits = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        return "" if fits else f"a number from {low:g} to {high:g}"

    return check


def one_of(names: Collection[str]) -> Rule:
    def check(value: Any) -> str:
        fits = isinstance(value, str) and value in names
        return "" if fits else f"one of {', '.join(names)}"

    return check


def text(value: Any) -> str:
    return "" if isinstance(value, str) and len(value) < 5000 else "a text"


def yes_or_no(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def optional(rule: Rule) -> Rule:
    return lambda value: "" if value is None else rule(value)


def list_of(rule: Rule, shortest: int, longest: int) -> Rule:
    def check(value: Any) -> str:
        if not isinstance(value, list) or not shortest <= len(value) <= longest:
            return f"a list of {shortest} to {longest} values"
        wrong = next(filter(None, map(rule, value)), "")
        return wrong and f"a list in which each value is {wrong}"

    return check


LIMIT = 1e30
EVERY: dict[str, Rule] = {
    "kind": one_of(("images", "points")),
    "dataset": text,
    "label_counts": list_of(whole(0, 10**12), 0, 10_000),
    "timesteps": whole(2, 100_000),
    "schedule": one_of(SCHEDULES),
    "beta_start": optional(real(0, 1)),
    "beta_end": optional(real(0, 1)),
    "sigma_min": optional(real(0, 1e6)),
    "sigma_max": optional(real(0, 1e6)),
    "prediction": one_of(PREDICTIONS),
    "loss_weighting": one_of(LOSS_WEIGHTINGS),
    "model": one_of(("unet", "mlp")),
}
UNET: dict[str, Rule] = {
    "base_channels": whole(1, 8192),
    "dropout": real(0, 1),
    "no_attention": yes_or_no,
}
MLP: dict[str, Rule] = {
    "hidden_dims": list_of(whole(1, 8192), 1, 100),
    "embedding_size": whole(2, 8192),
    "time_embedding": one_of(TIME_EMBEDDINGS),
}
POINTS: dict[str, Rule] = {
    "model": one_of(("mlp",)),
    "mean": list_of(real(-LIMIT, LIMIT), 2, 2),
    "scale": real(0, LIMIT),
    "coordinates": one_of(("sinusoidal", "raw")),
    "embedding_scale": real(0, 1000),
    "jitter": optional(real(0, LIMIT)),
    "seed": whole(0, 2**63 - 1),
}

# What says which data the run saw, for pictures of them; weights that were passed on may lack it.
SHOWN: dict[str, Rule] = {
    "num_points": optional(whole(3, 10**8)),
    "subset": optional(whole(1, 10**12)),
    "seed": whole(0, 2**63 - 1),
}


def check_config(config: Any) -> None:
    """Check everything that rebuilds a network and its process, or shows its data.

    Raises:
        ValueError: naming the first setting that is missing or not possible.
    """
    if not isinstance(config, Mapping):
        raise ValueError("it is not a dictionary")
    check(config, EVERY)
    check(config, UNET if config["model"] == "unet" else MLP)
    if config["kind"] == "points":
        check(config, POINTS)
    check(config, {name: rule for name, rule in SHOWN.items() if name in config})


def check(config: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    for name, rule in rules.items():
        if name not in config:
            raise ValueError(f"{name} is missing")
        if wrong := rule(config[name]):
            raise ValueError(f"{name} must be {wrong}, not {str(config[name])[:50]!r}")
