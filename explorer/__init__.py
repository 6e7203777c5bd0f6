"""The interactive page of `visualize_diffusion.py --html`: one file that needs nothing else.

What it shows is embedded in it: data and schedule, the samples of images at each step, and, of a
model of points, the weights of its network, which then runs in the page. Beside this file lie the
parts of the page: mathematics.js and network.js do what diffusion.py, samplers.py and models/mlp.py
do; points.js and images.js draw; page.js connects the controls of page.html.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from datasets.units import PointUnits, Units
from diffusion import Denoiser, Diffusion, NoiseSchedule
from guidance import Conditioned, knows_unlabelled, with_examples
from models.mlp import MLP
from plots.figures import evenly_spaced
from plots.pictures import PointPictures
from samplers import ddim, trailing_timesteps
from system.errors import InputError
from system.files import atomic_write

HERE = Path(__file__).parent
SCRIPTS = ("mathematics.js", "network.js", "points.js", "images.js", "page.js")
LARGEST = 5_000_000  # bytes of a page
POINTS = 1000
IMAGE_STEPS = 50
ROOM_FOR_IMAGES = 3_400_000  # bytes, before their encoding makes them a third larger


def encode(values: Tensor, kind: type[np.generic]) -> str:
    """Numbers as text, in little-endian bytes."""
    array = values.detach().cpu().numpy().astype(np.dtype(kind).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()


def schedule_part(schedule: NoiseSchedule) -> dict[str, Any]:
    tables = (schedule.alphas, schedule.sigmas, *schedule.velocity)
    alphas, sigmas, *velocity = (encode(table, np.float64) for table in tables)
    return {"alphas": alphas, "sigmas": sigmas, "velocity": velocity}


def network_part(model: MLP, config: Mapping[str, Any]) -> dict[str, Any]:
    """An MLP on points, for network.js."""
    classes = with_examples(config["label_counts"])
    weights = {
        name: {"shape": list(weight.shape), "data": encode(weight, np.float32)}
        for name, weight in model.state_dict().items()
    }
    levels = encode(model.time.noise_level, np.float64)
    time = {"kind": model.time.kind, "size": model.time.size, "levels": levels}
    known = {"classes": classes, "knowsNone": knows_unlabelled(config)}
    return {"widths": model.widths, "time": time, "weights": weights, **known}


def points_part(x0: Tensor, labels: Tensor) -> dict[str, Any]:
    chosen = evenly_spaced(POINTS, len(x0))
    return {
        "positions": encode(x0[chosen], np.float32),
        "labels": labels[chosen].tolist(),
        "reach": PointPictures.REACH,
    }


def images_part(
    x0: Tensor, units: Units, diffusion: Diffusion, denoise: Denoiser | None
) -> dict[str, Any]:
    """Images, and what a network makes of noise: x_t and its estimate of x_0 before each step.

    Raises:
        InputError: they would be too large for a page.
    """
    channels, height, width = units.shape
    part: dict[str, Any] = {"count": len(x0), "pixels": encode(units.to_data(x0), np.uint8)}
    part |= {"channels": channels, "height": height, "width": width}
    if denoise is None:
        return part
    schedule = diffusion.schedule
    room = ROOM_FOR_IMAGES // (2 * x0.numel()) - 1
    if room < 1:
        raise InputError("these images are too large for a page: show fewer, with --num_images")
    timesteps = trailing_timesteps(len(schedule), min(IMAGE_STEPS, room, len(schedule)))
    estimates: list[Tensor] = []

    def noting(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        x0, eps = denoise(x, t)
        estimates.append(x0)
        return x0, eps

    x = diffusion.starting_noise(torch.randn_like(x0))
    states = [x, *ddim(noting, x, schedule, timesteps)]
    # Exploding noise is shown smaller, as mathematics.js does.
    sizes = [max(1.0, math.hypot(*schedule.at(t))) for t in timesteps]
    shown = [state / size for state, size in zip(states, [*sizes, 1.0], strict=True)]
    reverse = {
        "timesteps": timesteps,
        "x": encode(units.to_data(torch.cat(shown)), np.uint8),
        "x0": encode(units.to_data(torch.cat([*estimates, states[-1]])), np.uint8),
    }
    return {**part, "reverse": reverse}


def save_explorer(
    path: Path,
    config: Mapping[str, Any],
    diffusion: Diffusion,
    units: Units,
    x0: Tensor,
    labels: Tensor,
    model: nn.Module | None = None,
) -> None:
    """Write the page.

    Args:
        config: for its words, `dataset` and `schedule`; with a model also what it knows of
            classes, `label_counts` and `label_dropout`.
        x0: the examples, as the network sees them (N, 2) or (N, C, H, W).
        labels: theirs, int64 (N,).
        model: a trained network; None shows the forward process, and of points also the reverse
            process by the exact denoiser of the data.

    Raises:
        InputError: the network, the table of timesteps or the images are too large for a page, or
            the images are of classes that the model does not know.
    """
    T = len(diffusion.schedule)
    by = f"{diffusion.prediction} prediction, " if model is not None else ""
    page: dict[str, Any] = {
        "title": f"{Path(config['dataset']).name}: diffusion",
        "subtitle": f"{by}{config['schedule']} schedule, T = {T}",
        "schedule": schedule_part(diffusion.schedule),
        "prediction": diffusion.prediction,
    }
    if isinstance(units, PointUnits):
        page |= {"kind": "points", "points": points_part(x0, labels)}
        if isinstance(model, MLP):
            page["network"] = network_part(model, config)
    else:
        denoise = None
        if model is not None:
            classes = len(config["label_counts"])
            if classes and int(labels.max()) >= classes:
                name = Path(config["dataset"]).name
                raise InputError(f"{name} has classes that the model does not know")
            known = labels if classes else None
            denoise = diffusion.denoiser(Conditioned(model, known))
        page |= {"kind": "images", "images": images_part(x0, units, diffusion, denoise)}
    text = fill_in(page)
    if len(text) > LARGEST:
        raise InputError(
            f"the page would have {len(text) / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}, with the"
            " network and the table of timesteps in it; train with a smaller --hidden_size or"
            " fewer --timesteps"
        )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fill_in(page: Mapping[str, Any]) -> str:
    """The parts of the page, put together."""
    parts = {
        "style": (HERE / "style.css").read_text(encoding="utf-8"),
        # No "<" in the data: a name like "</script>" must not end it.
        "page": json.dumps(page).replace("<", "\\u003c"),
        "script": "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    text = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], text)
