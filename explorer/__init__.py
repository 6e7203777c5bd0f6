"""The interactive page of `visualize_diffusion.py --html`: one file that needs nothing else.

The page runs the network itself; data, schedule and weights are embedded. The parts of the page are
beside this file. mathematics.js implements diffusion.py and samplers.py; layers.js, mlp.js, unet.js
and dit.js implement models/. points.js, images.js, edit.js and the files that they use draw. A
worker, worker.js, samples images, and workshop.js gives it jobs. show.js and time.js show a moment
of a process and move through time; controls.js and page.js handle the controls of page.html.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from datasets.units import PointUnits, Units
from diffusion import Diffusion, NoiseSchedule
from guidance import knows_unlabelled, with_examples
from models import describe
from models.backbone import Backbone
from models.dit import DiT
from models.mlp import MLP
from models.unet import UNet
from names import CONSISTENCY, FEW_STEPS, SAMPLERS, SHORTCUT, learns_jumps
from plots.figures import evenly_spaced
from plots.pictures import PointPictures
from system.errors import InputError
from system.files import atomic_write

HERE = Path(__file__).parent
# Scripts shared by the page and its worker, and scripts of the page alone.
SHARED = ("mathematics.js", "layers.js", "unet.js", "dit.js", "mlp.js")
SCRIPTS = (
    *("crowd.js", "field.js", "points.js"),
    *("workshop.js", "images.js", "modes.js", "edit.js"),
    *("show.js", "time.js", "controls.js", "page.js"),
)
LARGEST = 12_000_000  # largest size of a page in bytes
# Those with an implementation in mathematics.js and a name in show.js.
ON_THE_PAGE = ("ddpm", "ddim", "heun", "dpmpp", CONSISTENCY, SHORTCUT)
POINTS = 1000
USUAL_SAMPLER = {"points": "ddim", "images": "dpmpp"}


def encode(values: Tensor, kind: type[np.generic]) -> str:
    """Numbers as base64 text of little-endian bytes."""
    array = values.detach().cpu().numpy().astype(np.dtype(kind).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()


def schedule_part(schedule: NoiseSchedule) -> dict[str, Any]:
    tables = (schedule.alphas, schedule.sigmas, *schedule.velocity)
    alphas, sigmas, *velocity = (encode(table, np.float64) for table in tables)
    return {"alphas": alphas, "sigmas": sigmas, "velocity": velocity}


def network_part(model: MLP | UNet | DiT, half: bool) -> dict[str, Any]:
    """A network for its JavaScript implementation, in half precision if `half`."""
    kind = np.float16 if half else np.float32
    weights = {
        name: {"shape": list(weight.shape), "data": encode(weight, kind)}
        for name, weight in model.state_dict().items()
    }
    part: dict[str, Any] = {"half": half, "weights": weights}
    if isinstance(model, UNet):
        return {"kind": "unet", "levels": model.levels, **part}
    if isinstance(model, DiT):
        return {"kind": "dit", "patch": model.patch, "heads": model.heads, **part}
    levels = encode(model.time.noise_level, np.float64)
    time = {"kind": model.time.kind, "size": model.time.size, "levels": levels}
    return {"kind": "mlp", "widths": model.widths, "time": time, **part}


def sampling_part(config: Mapping[str, Any], T: int, kind: str) -> dict[str, Any]:
    """The settings for sampling on the page, and their initial values.

    Args:
        config: of a model's run; without a model, it has no `objective`.
        T: number of timesteps of the process.
    """
    objective = config.get("objective")
    usual = {
        name: min(sampler.steps or T, T)
        for name, sampler in SAMPLERS.items()
        if name in ON_THE_PAGE and (not sampler.jumps or learns_jumps(config))
    }
    few = objective in FEW_STEPS
    sampler = str(objective) if few else USUAL_SAMPLER[kind]
    steps = 1 if objective == CONSISTENCY else usual[sampler]
    chosen = {"sampler": sampler, "steps": steps, "eta": 0, "count": 16 if few else 4}
    return {"samplers": usual, "defaults": chosen, "fewSteps": few}


def model_part(model: Backbone, config: Mapping[str, Any], units: Units) -> dict[str, Any]:
    """A network and the classes that it knows.

    Raises:
        InputError: the page cannot run a network of this kind.
    """
    if not isinstance(model, MLP | UNet | DiT):
        raise InputError("--html: the page cannot run a network of this kind")
    network = network_part(model, half=not isinstance(units, PointUnits))
    return {**classes_part(config), "network": {"shape": list(units.shape), **network}}


def check_classes(page: Mapping[str, Any], labels: Tensor) -> None:
    """Make sure that the model knows the classes of all images.

    Raises:
        InputError: it does not.
    """
    unknown = not {*labels.tolist()} <= {*page["classes"]}
    if page["kind"] == "images" and page["classes"] and unknown:
        raise InputError(f"{page['dataset']} has classes that the model does not know")


def classes_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The classes that a model knows, with their names, and whether it supports guidance."""
    classes, names = with_examples(config["label_counts"]), config["class_names"]
    untold = knows_unlabelled(config)
    tuned = config["objective"] == CONSISTENCY  # tuning fixes the guidance
    return {
        "classes": classes,
        "classNames": [names[label] if names else str(label) for label in classes],
        "knowsNone": untold,
        "guides": bool(classes) and untold and not tuned,
    }


def points_part(x0: Tensor, labels: Tensor) -> dict[str, Any]:
    chosen = evenly_spaced(POINTS, len(x0))
    return {
        "positions": encode(x0[chosen], np.float32),
        "labels": labels[chosen].tolist(),
        "reach": PointPictures.REACH,
    }


def images_part(x0: Tensor, labels: Tensor, units: Units) -> dict[str, Any]:
    """Images x (N, C, H, W): their pixels, and the median colour of a corner, as a background."""
    channels, height, width = units.shape
    pixels = units.to_data(x0).reshape(len(x0), height, width, channels).movedim(-1, 1)
    background = pixels[:, :, 0, 0].median(dim=0).values.tolist()
    size = {"count": len(x0), "channels": channels, "height": height, "width": width}
    known = {"labels": labels.tolist(), "background": background}
    return {**size, **known, "pixels": encode(pixels, np.uint8)}


def save_explorer(
    path: Path,
    config: Mapping[str, Any],
    diffusion: Diffusion,
    units: Units,
    x0: Tensor,
    labels: Tensor,
    model: Backbone | None = None,
) -> None:
    """Write the page.

    Args:
        config: of the model's run; without a model, only `dataset` and `schedule` are needed.
        x0: the examples in the units of the network, (N, 2) or (N, C, H, W).
        labels: of the examples, int64 (N,).
        model: a trained network; None shows the forward process and, for points, the reverse
            process with the exact denoiser of the data.

    Raises:
        InputError: the page cannot run this network or would be too large, or the model does not
            know the classes of the images.
    """
    T = len(diffusion.schedule)
    page: dict[str, Any] = {
        "dataset": Path(config["dataset"]).name,
        "title": f"{Path(config['dataset']).name}: diffusion",
        "subtitle": f"{config['schedule']} schedule, T = {T}",
        "schedule": schedule_part(diffusion.schedule),
        "prediction": diffusion.prediction,
        "range": diffusion.value_range,
    }
    if isinstance(units, PointUnits):
        page |= {"kind": "points", "points": points_part(x0, labels)}
    else:
        page |= {"kind": "images", "images": images_part(x0, labels, units)}
    page |= sampling_part(config if model is not None else {}, T, page["kind"])
    if model is not None:
        page |= model_part(model, config, units)
        words = f"{describe(model)}, run by this page; {diffusion.prediction} prediction"
        page["subtitle"] = f"{words}, {page['subtitle']}"
        check_classes(page, labels)
    text = fill_in(page)
    if len(text) > LARGEST:
        raise InputError(
            f"with its network and its table of timesteps, the page would be"
            f" {len(text) / 1e6:.1f} MB, over the limit of {LARGEST / 1e6:.0f}; train a smaller"
            " network, or train with fewer --timesteps"
        )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fill_in(page: Mapping[str, Any]) -> str:
    """The text of the page, from its parts."""
    parts = {
        "style": read(["style.css"]),
        # No "<" in the data: a name like "</script>" must not end the script.
        "page": json.dumps(page).replace("<", "\\u003c"),
        "mathematics": read(SHARED),
        "worker": read(["worker.js"]),
        "script": read(SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], read(["page.html"]))


def read(names: Sequence[str]) -> str:
    """The concatenated text of files beside this one."""
    return "".join((HERE / name).read_text(encoding="utf-8") for name in names)
