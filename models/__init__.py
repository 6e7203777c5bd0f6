"""The networks: `build_model` makes one from a run's configuration, `load_model` a trained one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from diffusion import schedule_of
from models.embeddings import FourierFeatures, TimeEmbedding
from models.mlp import MLP
from models.unet import UNet


def build_model(config: dict[str, Any], device: str = "cpu") -> UNet | MLP:
    """The untrained network that `config` (a run's config.json) describes.

    Args:
        device: `meta` gives a network without memory, of which only names and shapes are known.

    Raises:
        KeyError: a setting is missing.
        ValueError: the model is of a kind that is not known here.
    """
    classes = len(config["label_counts"])
    if config["model"] == "unet":
        base, dropout = config["base_channels"], config["dropout"]
        with torch.device(device):
            return UNet(1, base, classes, dropout, attention=not config["no_attention"])
    if config["model"] != "mlp":
        raise ValueError(f"unknown model {config['model']!r}; known: unet, mlp")
    size, half_log_snr = config["embedding_size"], schedule_of(config).half_log_snr
    shape = (2,) if config["kind"] == "points" else (1, 28, 28)
    with torch.device(device):
        time = TimeEmbedding(config["time_embedding"], size, half_log_snr)
        features = None
        if config["kind"] == "points" and config["coordinates"] == "sinusoidal":
            features = FourierFeatures(2, size, config["embedding_scale"])
        return MLP(shape, config["hidden_dims"], time, features, classes)


def describe(config: dict[str, Any], model: nn.Module) -> str:
    """Its kind and size, for people."""
    name = {"unet": "U-Net", "mlp": "MLP"}[config["model"]]
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    return f"{name} with {size:.2f} M parameters"


def load_model(checkpoint: dict[str, Any], use_ema: bool = True) -> nn.Module:
    """The trained network of a checkpoint, on the CPU, ready for sampling.

    Args:
        checkpoint: as `checkpoints.load_checkpoint` returns it.
        use_ema: the moving average of the weights, or else the weights of the last step.
    """
    model = build_model(checkpoint["config"]).eval().requires_grad_(False)
    model.load_state_dict(checkpoint["ema" if use_ema else "model"])
    return model
