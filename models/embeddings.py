"""Embeddings: of the time, of labels, and of coordinates, so that an MLP sees fine detail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion import schedule_of
from names import TIME_EMBEDDINGS


def sinusoidal_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines and sines of t at `dim / 2` frequencies, from 1 down to 1 / max_period per step.

    The position encoding of Vaswani et al. 2017 (section 3.5), as DDPM applies it to time.

    Args:
        t: timesteps, shape (B,), any numeric type.
        dim: size of the embedding; even.

    Returns:
        float32 tensor of shape (B, dim).
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"the embedding size must be a positive even number, not {dim}")
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Timesteps (B,) to vectors (B, `size`), in one of four ways.

    Args:
        kind: `sinusoidal` (fixed, as above), `learned` (a free vector for each timestep),
            `linear` (t / T itself), or `log_sigma` (sine and cosine of half the logarithm of the
            noise level sigma / alpha, Permenter & Yuan 2024).
        dim: size asked for; the last two kinds have sizes of their own, 1 and 2.
        half_log_snr: log(alpha_t / sigma_t) for all T timesteps.
    """

    noise_level: Tensor

    def __init__(self, kind: str, dim: int, half_log_snr: Tensor) -> None:
        super().__init__()
        if kind not in TIME_EMBEDDINGS:
            known = ", ".join(TIME_EMBEDDINGS)
            raise ValueError(f"unknown time embedding {kind!r}; known: {known}")
        self.kind = kind
        self.timesteps = len(half_log_snr)
        self.size = {"linear": 1, "log_sigma": 2}.get(kind, dim)
        if kind == "learned":
            self.table = nn.Embedding(self.timesteps, dim)
        # Not in the state dict: the schedule in the configuration makes it anew.
        self.register_buffer("noise_level", torch.empty(self.timesteps), persistent=False)
        self.follow(half_log_snr)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TimeEmbedding:
        """As the options `time_embedding` and `embedding_size` of a run's configuration say."""
        with torch.device("cpu"):  # also where the network is made without memory
            half_log_snr = schedule_of(config).half_log_snr
        return cls(config["time_embedding"], config["embedding_size"], half_log_snr)

    def follow(self, half_log_snr: Tensor) -> None:
        """Take the noise levels of another schedule of as many timesteps."""
        # Pure noise has an infinite level, which has no sine.
        self.noise_level.copy_((-half_log_snr.float() / 2).clamp(max=10))

    def forward(self, t: Tensor) -> Tensor:
        if self.kind == "sinusoidal":
            return sinusoidal_embedding(t, self.size)
        if self.kind == "learned":
            return self.table(t)
        if self.kind == "linear":
            return t[:, None].float() / self.timesteps
        half_log_sigma = self.noise_level[t][:, None]
        return torch.cat([half_log_sigma.sin(), half_log_sigma.cos()], dim=1)


def start_and_length(t: Tensor) -> tuple[Tensor, Tensor | None]:
    """Where jumps (B, 2) from t to s begin, and their length; timesteps (B,) have no length."""
    if t.dim() == 1:
        return t, None
    t, s = t.unbind(1)
    return t, t - s


class JumpEmbedding(nn.Module):
    """Lengths of jumps (B,), in timesteps, to vectors (B, `size`); of no length, to zero."""

    def __init__(self, size: int, dim: int = 64) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, size))

    def forward(self, length: Tensor) -> Tensor:
        vectors = self.layers(sinusoidal_embedding(length, self.dim))
        return vectors * (length > 0)[:, None]


class LabelEmbedding(nn.Embedding):
    """Class labels (B,) to vectors (B, `size`); the label `classes` stands for no class.

    Without labels it answers what belongs to no class: (1, size).
    """

    def __init__(self, classes: int, size: int) -> None:
        super().__init__(classes + 1, size)
        # Small beside the time, which is what matters most at first.
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, labels: Tensor | None) -> Tensor:
        return self.weight[-1:] if labels is None else super().forward(labels)


class FourierFeatures(nn.Module):
    """Coordinates (B, D) to themselves and `dim` cosines and sines of random projections of them.

    Tancik et al. 2020, equation 5 ("Gaussian mapping"): a plain MLP is slow to learn detail that
    is much finer than its inputs' range; with features that change quickly it is not.

    Args:
        scale: standard deviation of the frequencies, in cycles per unit; larger for finer detail.
    """

    frequencies: Tensor

    def __init__(self, inputs: int, dim: int, scale: float) -> None:
        super().__init__()
        self.size = inputs + 2 * (dim // 2)
        self.register_buffer("frequencies", scale * torch.randn(inputs, dim // 2))

    def forward(self, x: Tensor) -> Tensor:
        angles = 2 * math.pi * (x @ self.frequencies)
        return torch.cat([x, angles.cos(), angles.sin()], dim=1)
