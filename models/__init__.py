"""The networks: `build_model` makes one from a configuration, `load_model` from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.backbone import Backbone
from models.dit import DiT
from models.mlp import MLP
from models.unet import UNet
from names import learns_jumps

MODELS: dict[str, type[Backbone]] = {"unet": UNet, "mlp": MLP, "dit": DiT}


def build_model(config: Mapping[str, Any], device: str = "cpu") -> Backbone:
    """The untrained network that `config` (a run's config.json) describes.

    Args:
        device: `meta` gives a network with names and shapes but without memory for its weights.

    Raises:
        KeyError: a setting is missing.
        ValueError: the kind of model is unknown, does not support data of this shape, or cannot
            learn jumps although the objective needs them.
    """
    if config["model"] not in MODELS:
        raise ValueError(f"unknown model {config['model']!r}; known: {', '.join(MODELS)}")
    with torch.device(device):
        model = MODELS[config["model"]].from_config(config)
    if learns_jumps(config) and getattr(model, "jump_embedding", None) is None:
        raise ValueError("the model is not told where to jump, which --objective shortcut needs")
    return model


def describe(model: Backbone) -> str:
    """The kind and size of a network, in words."""
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    return f"{model.title} with {size:.2f} M parameters"


def load_model(checkpoint: Mapping[str, Any], use_ema: bool = True) -> Backbone:
    """The trained network of a checkpoint, on the CPU, ready for sampling.

    Args:
        checkpoint: as `checkpoints.load_checkpoint` returns it.
        use_ema: whether to load the moving average of the weights instead of the last weights.
    """
    model = build_model(checkpoint["config"]).eval().requires_grad_(False)
    model.load_state_dict(checkpoint["ema" if use_ema else "model"])
    return model
