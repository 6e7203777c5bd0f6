"""The networks: `build_model` makes one from a run's configuration, `load_model` a trained one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from diffusion import schedule_of
from errors import InputError
from models.embeddings import FourierFeatures, TimeEmbedding
from models.mlp import MLP
from models.unet import EMBEDDING_SIZE, UNet


def build_model(config: dict[str, Any]) -> UNet | MLP:
    """The untrained network that `config` (a run's config.json) describes.

    Raises:
        KeyError: a setting is missing.
        ValueError: the model is of a kind that is not known here.
    """
    classes = len(config["label_counts"])
    if config["model"] == "unet":
        base, dropout = config["base_channels"], config["dropout"]
        return UNet(1, base, classes, dropout, attention=not config["no_attention"])
    if config["model"] != "mlp":
        raise ValueError(f"unknown model {config['model']!r}; known: unet, mlp")
    size = config["embedding_size"]
    time = TimeEmbedding(config["time_embedding"], size, schedule_of(config).half_log_snr)
    features = None
    if config["kind"] == "points" and config["coordinates"] == "sinusoidal":
        features = FourierFeatures(2, size, config["embedding_scale"])
    shape = (2,) if config["kind"] == "points" else (1, 28, 28)
    return MLP(shape, config["hidden_dims"], time, features, classes)


def fewest_weights(config: dict[str, Any]) -> int:
    """Fewer weights than this the network of `config` cannot have.

    It is compared with what a file holds before the network is built, so that no configuration
    makes us reserve much more memory than the file takes.
    """
    classes = len(config["label_counts"])
    if config["model"] == "unet":
        # The time's two layers, and the four 3x3 convolutions at 7x7.
        return 8 * EMBEDDING_SIZE**2 + 4 * 9 * (2 * config["base_channels"]) ** 2
    widths = config["hidden_dims"]
    table = config["timesteps"] * config["embedding_size"]
    return (
        sum(inputs * outputs for inputs, outputs in pairwise(widths))
        + classes * sum(widths)
        + (table if config["time_embedding"] == "learned" else 0)
    )


def holds_all_of(weight: Tensor) -> bool:
    """Whether a tensor has a number in memory for each of its elements (one that was expanded from
    a single number does not, and would grow when copied)."""
    storage = weight.untyped_storage().nbytes()
    return weight.is_floating_point() and storage >= weight.numel() * weight.element_size()


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

    Raises:
        InputError: its weights are not those of the network that its configuration describes.
    """
    weights = checkpoint["ema" if use_ema else "model"]
    held = sum(weight.numel() for weight in weights.values())
    if held < fewest_weights(checkpoint["config"]):
        raise InputError("the checkpoint's weights are too few for its configuration")
    model = build_model(checkpoint["config"]).eval().requires_grad_(False)
    expected = model.state_dict()
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
    model.load_state_dict(weights)
    return model
