"""How examples are made: what the options for images and for sets of points say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ImageSettings:
    """How images become the examples of a data set.

    Attributes:
        image_size: pixels of both sides; None for the data set's own, or for what suits pictures.
        channels: `1` for grey, `3` for colour, or `auto` for what the images are.
        background: of a person's own pictures, what shows where they are transparent; as Pillow
            names colours.
        holdout: the share of a person's own pictures that is the test split.
        flip: whether mirrored images are as good as the images themselves.
    """

    image_size: int | None = None
    channels: str = "auto"
    background: str = "white"
    holdout: float = 0.1
    flip: bool = False

    @classmethod
    def of_run(cls, config: Mapping[str, Any]) -> Self:
        """Those that give the images of a run, from its configuration; they are squares."""
        channels, height, _ = config["shape"]
        # Earlier releases had none of the rest.
        names = ("background", "holdout", "flip")
        known = {name: config[name] for name in names if config.get(name) is not None}
        return cls(image_size=height, channels=str(channels), **known)


AS_THEY_ARE = ImageSettings()


@dataclass(frozen=True)
class PointSettings:
    """How a set of points is made.

    Attributes:
        num_points: how many.
        jitter: of a drawing, noise added to its points, as a share of their spread; None for none.
        seed: of the points.
    """

    num_points: int
    jitter: float | None = None
    seed: int = 0
