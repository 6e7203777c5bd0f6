"""Loading a trained network from a checkpoint, with its process, its units and its pictures."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import pretrained
from checkpoints import find_checkpoint, load_checkpoint
from datasets.units import Units, make_units
from diffusion import Diffusion, make_diffusion
from guidance import Network, knows_unlabelled, with_examples
from models import describe, load_model
from plots.pictures import ImagePictures, PointPictures, make_pictures
from system.errors import InputError

DEFAULT_CHECKPOINT = Path("outputs/model_final.pt")
# The settings that a guide must share with the guided model, besides the dataset.
SHARED_WITH_GUIDE = (
    "objective",
    "prediction",
    "timesteps",
    "schedule",
    "timestep_density",
    "beta_start",
    "beta_end",
    "sigma_min",
    "sigma_max",
    "mean",
    "scale",
)


@dataclass(frozen=True)
class Trained:
    """A trained network with everything that its checkpoint says about it.

    Attributes:
        guide: a worse network for the same data; guidance moves away from its predictions.
    """

    path: Path
    config: dict[str, Any]
    network: Network
    diffusion: Diffusion
    units: Units
    pictures: ImagePictures | PointPictures
    guide: Network | None = None

    @property
    def kind(self) -> str:
        return self.config["kind"]

    @property
    def classes(self) -> int:
        """The number of classes of the network; 0 for a network without labels."""
        return len(self.config["label_counts"])

    @property
    def labels(self) -> list[int]:
        """The classes of which the network has seen examples."""
        return with_examples(self.config["label_counts"])

    @property
    def knows_unlabelled(self) -> bool:
        return knows_unlabelled(self.config)

    @property
    def last(self) -> int:
        """The noisiest timestep."""
        return len(self.diffusion.schedule) - 1

    @property
    def device(self) -> torch.device:
        return self.diffusion.device


def locate(path: Path | None) -> tuple[Path, dict[str, Any]]:
    """A checkpoint and its path; None looks in the default places.

    Raises:
        InputError: there is no checkpoint, or it is not valid.
    """
    path = pretrained.find(path or find_checkpoint(DEFAULT_CHECKPOINT))
    return path, load_checkpoint(path)


def restore(
    path: Path | None = None, device: torch.device | str = "cpu", use_ema: bool = True
) -> Trained:
    """The network, process, units and pictures of a checkpoint, found by `locate`."""
    path, checkpoint = locate(path)
    config = checkpoint["config"]
    try:
        model = load_model(checkpoint, use_ema=use_ema).to(device)
        units = make_units(config)
        pictures = make_pictures(units, config["class_names"])
        trained = Trained(path, config, model, make_diffusion(config, device), units, pictures)
        network = describe(model)
        print(f"{path}: {config['dataset']}, T = {trained.last + 1}; {network} on {device}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its configuration is not valid ({error!r})") from error
    return trained


def with_guide(trained: Trained, path: Path, use_ema: bool = True) -> Trained:
    """The same model, guided by the network of another checkpoint.

    Raises:
        InputError: the other network has different data, process or labels.
    """
    guide = restore(path, trained.device, use_ema)
    found, wanted = meaning_of_x(guide.config), meaning_of_x(trained.config)
    for name in wanted:
        if found[name] != wanted[name]:
            its, models = (
                reprlib.repr(one) if isinstance(one, list) else one
                for one in (found[name], wanted[name])
            )
            raise InputError(f"--guide {path}: its {name} is {its}, but the model's is {models}")
    if (guide.labels, guide.knows_unlabelled) != (trained.labels, trained.knows_unlabelled):
        raise InputError(
            f"--guide {path}: the guide and the model must have learned the same labels"
        )
    return replace(trained, guide=guide.network)


def meaning_of_x(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that determine the meaning of x and of the network's output."""
    # The folder of a user's drawing does not matter, and exported weights do not contain it.
    data = {"dataset": Path(config["dataset"]).name}
    return data | {name: config.get(name) for name in SHARED_WITH_GUIDE}
