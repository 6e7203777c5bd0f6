"""How examples are made: the values of the options for images and for sets of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ImageSettings:
    """How images become the examples of a dataset.

    Attributes:
        image_size: height and width in pixels; None for the dataset's own size, or one that suits
            the user's pictures.
        channels: `1` for grey, `3` for colour, or `auto` for as many as the images have.
        background: a colour, by a name that Pillow knows, for transparent parts of the user's own
            pictures.
        holdout: the share of the user's own pictures in the test split.
        flip: whether mirrored images are as realistic as the originals.
    """

    image_size: int | None = None
    channels: str = "auto"
    background: str = "white"
    holdout: float = 0.1
    flip: bool = False

    @classmethod
    def of_run(cls, config: Mapping[str, Any]) -> Self:
        """The settings that reproduce the (square) images of a run, from its configuration."""
        channels, height, _ = config["shape"]
        # Earlier releases did not have these settings.
        names = ("background", "holdout", "flip")
        known = {name: config[name] for name in names if config.get(name) is not None}
        return cls(image_size=height, channels=str(channels), **known)


AS_THEY_ARE = ImageSettings()


@dataclass(frozen=True)
class PointSettings:
    """How a set of points is made.

    Attributes:
        num_points: number of points.
        jitter: noise added to the points of a drawing, as a share of their spread; None for none.
        seed: of the random number generator.
    """

    num_points: int
    jitter: float | None = None
    seed: int = 0
