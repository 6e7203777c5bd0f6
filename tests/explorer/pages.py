"""Small test pages, with networks whose outputs are not trivial."""

import base64
import json
import re

import numpy as np
import torch

from datasets.units import ImageUnits, PointUnits
from diffusion import make_diffusion
from explorer import save_explorer
from models import build_model

T = 40


def config_of(**changes):
    config = {
        "kind": "points",
        "dataset": "moons",
        "model": "mlp",
        "schedule": "cosine",
        "prediction": "v",
        "objective": "denoising",
        "timesteps": T,
        "loss_weighting": "uniform",
        "hidden_dims": [16, 16, 8],
        "embedding_size": 12,
        "time_embedding": "sinusoidal",
        "coordinates": "sinusoidal",
        "embedding_scale": 2.0,
        "base_channels": 16,
        "dropout": 0.0,
        "no_attention": False,
        "hidden_size": 32,
        "hidden_layers": 2,
        "heads": 4,
        "patch_size": None,
        "label_counts": [],
        "label_dropout": 0.1,
        "shape": [2],
        "value_range": None,
        "class_names": [],
    }
    config |= dict.fromkeys(("beta_start", "beta_end", "sigma_min", "sigma_max"))
    return config | changes


def images_config(**changes):
    """The configuration of a fast U-Net for grey images of 16 x 16 pixels."""
    known = {"kind": "images", "dataset": "digits", "model": "unet", "shape": [1, 16, 16]}
    return config_of(**{**known, "value_range": [-1, 1], "prediction": "x0", **changes})


def random_network(config):
    """A network with random weights, since an untrained network outputs only zeros."""
    torch.manual_seed(1)
    model = build_model(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "head" in name or not weight.any():
            torch.nn.init.normal_(weight, std=1.0 if config["kind"] == "points" else 0.1)
    return model


def in_half(model):
    """The network with weights in half precision, as in a page of images."""
    return model.half().float()


def write_points(path, config, model=None):
    torch.manual_seed(0)
    points, labels = torch.randn(200, 2), torch.arange(200) % 3
    units = PointUnits([0, 0], 1)
    save_explorer(path, config, make_diffusion(config), units, points, labels, model)
    return path


def write_images(path, config, model=None, x0=None):
    torch.manual_seed(0)
    units = ImageUnits(tuple(config["shape"]))
    x0 = torch.rand(9, *config["shape"]) * 2 - 1 if x0 is None else x0
    labels = torch.arange(len(x0)) % max(1, len(config["label_counts"]))
    save_explorer(path, config, make_diffusion(config), units, x0, labels, model)
    return path


def embedded(path):
    found = re.search(r'type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def numbers(text, kind=np.float32):
    return np.frombuffer(base64.b64decode(text), kind)
