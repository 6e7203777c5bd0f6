"""What a configuration in a checkpoint may say: names, types and ranges.

A checkpoint can come from anywhere. What is checked here bounds what it can ask for.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cli.options

LARGEST = 1e18  # of coordinates; drawings.py reads up to 1e15, and jitter makes them larger


class Rule(NamedTuple):
    """What a value must be, in words, and whether it is."""

    text: str
    fits: Callable[[Any], bool]


def real(low: float, high: float, kinds: tuple[type, ...] = (int, float)) -> Rule:
    text = f"a {'number' if float in kinds else 'whole number'} from {low:g} to {high:g}"
    return Rule(text, lambda value: type(value) in kinds and low <= value <= high)


def whole(low: int, high: int) -> Rule:
    return real(low, high, (int,))


def one_of(names: Collection[str]) -> Rule:
    text = f"one of {', '.join(names)}"
    return Rule(text, lambda value: isinstance(value, str) and value in names)


def optional(rule: Rule) -> Rule:
    return Rule(rule.text, lambda value: value is None or rule.fits(value))


def list_of(rule: Rule, shortest: int, longest: int) -> Rule:
    def fits(value: Any) -> bool:
        right = isinstance(value, list) and shortest <= len(value) <= longest
        return right and all(map(rule.fits, value))

    return Rule(f"a list of {shortest} to {longest} values, each {rule.text}", fits)


def is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def is_image(shape: Any) -> bool:
    sides = list_of(whole(1, 1024), 3, 3).fits(shape)
    return sides and shape[0] in (1, 3)


EVERY: dict[str, Rule] = {
    "kind": one_of(("images", "points")),
    "label_counts": list_of(whole(0, 10**12), 0, 10_000),
    "label_dropout": optional(real(0, 1)),
    "subset": optional(whole(1, 10**12)),
    "seed": whole(0, 2**63 - 1),
    "timesteps": whole(2, 100_000),
    "timestep_sampling": one_of(cli.options.TIMESTEP_SAMPLINGS),
    "schedule": one_of(cli.options.SCHEDULES),
    "beta_start": optional(real(1e-12, 0.9999)),
    "beta_end": optional(real(1e-12, 0.9999)),
    "sigma_min": optional(real(1e-5, 1e6)),
    "sigma_max": optional(real(1e-5, 1e6)),
    "prediction": one_of(cli.options.PREDICTIONS),
    "loss_weighting": one_of(cli.options.LOSS_WEIGHTINGS),
    "model": one_of(("unet", "mlp")),
    "shape": list_of(whole(1, 1024), 1, 3),
    "value_range": optional(list_of(real(-LARGEST, LARGEST), 2, 2)),
    "class_names": list_of(Rule("a line of at most 200 characters", is_name), 0, 10_000),
}
UNET: dict[str, Rule] = {
    "base_channels": whole(1, 8192),
    "dropout": real(0, 1),
    "no_attention": Rule("true or false", lambda value: isinstance(value, bool)),
}
MLP: dict[str, Rule] = {
    "hidden_dims": list_of(whole(1, 8192), 1, 100),
    "embedding_size": whole(2, 8192),
    "time_embedding": one_of(cli.options.TIME_EMBEDDINGS),
}
IMAGES = {
    "dataset": one_of(cli.options.IMAGE_DATASETS),
    "shape": Rule("[channels, height, width] with 1 or 3 channels", is_image),
}
POINTS: dict[str, Rule] = {
    "dataset": Rule("a set of points", lambda x: isinstance(x, str) and cli.options.is_points(x)),
    "model": one_of(("mlp",)),
    "shape": Rule("[2]", lambda x: isinstance(x, list) and len(x) == 1 and whole(2, 2).fits(x[0])),
    "mean": list_of(real(-LARGEST, LARGEST), 2, 2),
    "scale": real(1 / LARGEST, LARGEST),
    "coordinates": one_of(("sinusoidal", "raw")),
    "embedding_scale": real(0, 1000),
    "num_points": whole(3, cli.options.MOST_POINTS),
    "jitter": optional(real(0, LARGEST)),
}


def rules_for(config: Mapping[str, Any]) -> dict[str, Rule]:
    """What is needed to rebuild a network and its process, and to sample and evaluate with it."""
    network = UNET if config.get("model") == "unet" else MLP
    return EVERY | network | (POINTS if config.get("kind") == "points" else IMAGES)


def check_config(config: Any) -> None:
    """Check everything that rebuilds a network and its process, or shows its data.

    Raises:
        ValueError: naming the first setting that is missing or not possible.
    """
    if not isinstance(config, dict):
        raise ValueError("its configuration is not a dictionary")
    for name, rule in rules_for(config).items():
        if name not in config:
            raise ValueError(f"its configuration lacks {name}")
        if not rule.fits(config[name]):
            raise ValueError(f"{name} must be {rule.text}, not {reprlib.repr(config[name])}")


def for_passing_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what is of no use to others, such as where a person's files are."""
    kept = {name: config[name] for name in rules_for(config)}
    return {**kept, "dataset": Path(config["dataset"]).name}
