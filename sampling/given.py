"""Images given by the user: a picture file, or the number of a test image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets import load_images
from datasets.drawings import open_picture, over
from datasets.settings import ImageSettings
from plots.images import class_texts, save_panels
from system.errors import InputError


def read_image(path: Path, shape: Sequence[int], background: str = "black") -> Tensor:
    """A picture file as an image in the units of a model's data, uint8.

    Args:
        shape: [C, H, W] of the model's images, which are grey if C is 1. The picture may be larger
            or smaller, but must have the same aspect ratio.
        background: the colour for transparent parts of the picture.

    Returns:
        (H, W), or (H, W, 3) for images in colour.

    Raises:
        InputError: the file is missing, is not a picture, or has another aspect ratio.
    """
    channels, height, width = shape
    picture = open_picture(path)
    if picture.width * height != picture.height * width:
        needed = "square picture" if height == width else f"picture of {width} : {height}"
        raise InputError(f"{path} has another shape than the model's images; a {needed} is needed")
    flat = over(background, picture, "L" if channels == 1 else "RGB")
    return torch.from_numpy(np.array(flat.resize((width, height), Image.Resampling.BOX)))


def find_image(source: str, config: Mapping[str, Any], data_dir: Path) -> Tensor:
    """The image in a picture file, or the test image of that number, which the model has not seen.

    Args:
        config: the configuration of the model's run.

    Raises:
        InputError: see `read_image` and `load_images`; or there is no image of that number.
    """
    if not source.isdecimal():
        return read_image(Path(source), config["shape"], config["background"] or "black")
    name, settings = config["dataset"], ImageSettings.of_run(config)
    images = load_images(name, data_dir, train=False, settings=settings).examples
    number = int(source[:18])  # Python refuses to convert thousands of digits
    if number >= len(images):
        last = len(images) - 1
        raise InputError(f"the test images of {name} are 0-{last}; there is no {number}")
    return images[number]


def draw_beside(
    samples: Tensor,
    image: Tensor,
    begun: tuple[str, Tensor],
    labels: Tensor | None,
    class_names: Sequence[str],
    path: Path,
    title: str,
) -> None:
    """Draw a row: the image, what sampling began with, and the samples (N, ...).

    The captions of the samples are their classes, or their numbers if they have no labels.

    Args:
        begun: the caption and the image with which sampling began.
    """
    texts = [str(number) for number in range(1, len(samples) + 1)]
    if labels is not None:
        texts = class_texts(labels.tolist(), class_names)
    caption, start = begun
    columns = torch.stack([image, start, *samples])
    save_panels(columns[:, None], ["given", caption, *texts], path, title)
