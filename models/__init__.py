"""The networks: `build_model` makes one from a run's configuration, `load_model` a trained one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffusion import schedule_of
from errors import InputError
from models.embeddings import FourierFeatures, TimeEmbedding
from models.mlp import MLP
from models.unet import UNet


def build_model(config: dict[str, Any]) -> nn.Module:
    """The untrained network that `config` (a run's config.json) describes.

    Raises:
        KeyError: a setting is missing.
        ValueError: the model is of a kind that is not known here.
    """
    classes = len(config["label_counts"])
    if config["model"] == "unet":
        return UNet(channels=1, base_channels=config["base_channels"], classes=classes)
    if config["model"] != "mlp":
        raise ValueError(f"unknown model {config['model']!r}; known: unet, mlp")
    size = config["embedding_size"]
    with torch.device("cpu"):  # a table to be read, even where the network has no memory
        half_log_snr = schedule_of(config).half_log_snr
    time = TimeEmbedding(config["time_embedding"], size, half_log_snr)
    features = None
    if config["kind"] == "points" and config["coordinates"] == "sinusoidal":
        features = FourierFeatures(2, size, config["embedding_scale"])
    shape = (2,) if config["kind"] == "points" else (1, 28, 28)
    return MLP(shape, config["hidden_dims"], time, features, classes)


def holds_all_of(weight: Tensor) -> bool:
    """Whether a tensor has a number in memory for each of its elements (one that was expanded from
    a single number does not, and would grow when copied)."""
    storage = weight.untyped_storage().nbytes()
    return weight.is_floating_point() and storage >= weight.numel() * weight.element_size()


def load_model(checkpoint: dict[str, Any], use_ema: bool = True) -> nn.Module:
    """The trained network of a checkpoint, on the CPU, ready for sampling.

    Args:
        checkpoint: as `utils.load_checkpoint` returns it.
        use_ema: the moving average of the weights, or else the weights of the last step.

    Raises:
        InputError: its weights are not those of the network that its configuration describes.
    """
    weights = checkpoint["ema" if use_ema else "model"]
    # Without memory at first: a configuration might ask for more than there is.
    with torch.device("meta"):
        expected = build_model(checkpoint["config"]).state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        there, wanted = (
            tuple(tensors[name].shape) if name in tensors else None
            for tensors in (weights, expected)
        )
        if there != wanted:
            raise InputError(
                f"the checkpoint's weights do not fit its configuration: {name} has the shape"
                f" {there or 'of nothing (it is missing)'} where"
                f" {wanted or 'nothing of that name'} belongs"
            )
        if not holds_all_of(weights[name]):
            raise InputError(f"the checkpoint's {name} is not a whole tensor of numbers")
    model = build_model(checkpoint["config"]).eval().requires_grad_(False)
    model.load_state_dict(weights)
    return model
