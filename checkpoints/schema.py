"""The names, types and ranges that a configuration in a checkpoint may have.

A checkpoint can come from an untrusted source, and these checks bound what it can request. The
value of an option must be one that can be typed, or could be in earlier releases: see
`Option.rule`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from names import (
    BACKGROUND,
    FLIP,
    HOLDOUT,
    JITTER,
    KINDS,
    LARGEST,
    LARGEST_SIDE,
    LEARNED,
    MODELS,
    NUM_POINTS,
    OF_EVERY_MODEL,
    PARTS,
    datasets_of,
    is_points,
    models_for,
)
from system.options import Option
from system.values import LONGEST_NAME, MOST_CLASSES, Kind, ListOf, Maybe, OneOf, Real, Text, Whole


class SetOfPoints(Kind):
    """The name of a set of points: a built-in one, or a drawing."""

    text = "a set of points"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and is_points(value)


class SetOfImages(Kind):
    """The name of a set of images: a built-in one, or the path of the user's own."""

    text = "a set of images"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and value not in datasets_of("points")


class ShapeOfImages(Kind):
    """The shape of an image x for the network."""

    text = f"[channels, height, width] with 1 or 3 channels and sides of up to {LARGEST_SIDE}"

    def fits(self, value: Any) -> bool:
        return SIDES.fits(value) and value[0] in (1, 3)


class ShapeOfPoints(Kind):
    """The shape of a point x for the network."""

    text = "[2]"

    def fits(self, value: Any) -> bool:
        return isinstance(value, list) and value == [2] and type(value[0]) is int


SIDES = ListOf(Whole(1, LARGEST_SIDE), longest=3, shortest=3)
COORDINATE = Real(-LARGEST, LARGEST, low_included=True)
EVERY: dict[str, Kind] = {
    "kind": OneOf("kind", KINDS),
    "label_counts": ListOf(Whole(0, 10**12), longest=MOST_CLASSES, shortest=0),
    "value_range": Maybe(ListOf(COORDINATE, longest=2, shortest=2)),
    "class_names": ListOf(Text(longest=LONGEST_NAME), longest=MOST_CLASSES, shortest=0),
}
IMAGES: dict[str, Kind] = {"dataset": SetOfImages()}
POINTS: dict[str, Kind] = {
    "dataset": SetOfPoints(),
    "mean": ListOf(COORDINATE, longest=2, shortest=2),
    "scale": Real(1 / LARGEST, LARGEST, low_included=True),
}


def rules_for(config: Mapping[str, Any]) -> dict[str, Kind]:
    """The rules for all settings that rebuild a network and its process, or serve to sample and
    evaluate."""
    points = config.get("kind") == "points"
    possible = models_for("points" if points else "images")
    network = next((MODELS[name] for name in possible if name == config.get("model")), None)
    rules = EVERY | rules_of(OF_EVERY_MODEL) | {"model": OneOf("model", possible)}
    if network is not None:
        rules |= rules_of(one for one in network.options if points or not one.points_only)
    if config.get("schedule") == LEARNED:
        rules |= {"timestep_density": ListOf(Real(0, 1e6), longest=PARTS, shortest=PARTS)}
    rules |= POINTS if points else IMAGES
    rules |= rules_of((NUM_POINTS, JITTER) if points else (BACKGROUND, HOLDOUT, FLIP))
    return rules | {"shape": ShapeOfPoints() if points else ShapeOfImages()}


def rules_of(options: Iterable[Option]) -> dict[str, Kind]:
    """The rules for the values of some options."""
    return {option.name: option.rule for option in options if not option.short_for}


def check_config(config: Any) -> None:
    """Check all settings of `rules_for`.

    Raises:
        ValueError: a setting is missing or invalid; the message names the first.
    """
    if not isinstance(config, dict):
        raise ValueError("its configuration is not a dictionary")
    for name, rule in rules_for(config).items():
        if name not in config:
            raise ValueError(f"its configuration lacks {name}")
        if not rule.fits(config[name]):
            raise ValueError(f"{name} must be {rule.text}, not {reprlib.repr(config[name])}")


def for_passing_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with only what others need, so without the paths of the user's files."""
    kept = {name: config[name] for name in rules_for(config)}
    return {**kept, "dataset": Path(config["dataset"]).name}
