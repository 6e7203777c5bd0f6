"""Embeddings of timesteps, jumps, labels and coordinates."""

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

    The position encoding of Vaswani et al. 2017 (section 3.5), as DDPM applies it to timesteps.

    Args:
        t: timesteps, shape (B,), any numeric type.
        dim: size of the embedding, an even number.

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
    """Maps timesteps (B,) to vectors (B, `size`), in one of four ways.

    Args:
        kind: `sinusoidal` (fixed, as above), `learned` (a trained vector for each timestep),
            `linear` (the number t / T), or `log_sigma` (sine and cosine of half the logarithm of
            the noise level sigma / alpha, Permenter & Yuan 2024).
        dim: the requested size; the last two kinds have the fixed sizes 1 and 2.
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
        # Not in the state dict: it is computed from the schedule in the configuration.
        self.register_buffer("noise_level", torch.empty(self.timesteps), persistent=False)
        self.follow(half_log_snr)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TimeEmbedding:
        """The embedding given by `time_embedding` and `embedding_size` in a run's configuration."""
        with torch.device("cpu"):  # even if the network is made on `meta`
            half_log_snr = schedule_of(config).half_log_snr
        return cls(config["time_embedding"], config["embedding_size"], half_log_snr)

    def follow(self, half_log_snr: Tensor) -> None:
        """Switch to the noise levels of another schedule with the same number of timesteps."""
        # Pure noise has an infinite level, whose sine is undefined.
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
    """The start and length of jumps (B, 2) from t to s; timesteps (B,) have no length."""
    if t.dim() == 1:
        return t, None
    t, s = t.unbind(1)
    return t, t - s


class JumpEmbedding(nn.Module):
    """Maps lengths of jumps (B,), in timesteps, to vectors (B, `size`), and length 0 to zero."""

    def __init__(self, size: int, dim: int = 64) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, size))

    def forward(self, length: Tensor) -> Tensor:
        vectors = self.layers(sinusoidal_embedding(length, self.dim))
        return vectors * (length > 0)[:, None]


class LabelEmbedding(nn.Embedding):
    """Maps class labels (B,) to vectors (B, `size`); the label `classes` means "no class".

    Without labels it returns the vector of "no class", (1, size).
    """

    def __init__(self, classes: int, size: int) -> None:
        super().__init__(classes + 1, size)
        # Small compared with the embedding of t, which matters most at first.
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, labels: Tensor | None) -> Tensor:
        return self.weight[-1:] if labels is None else super().forward(labels)


class FourierFeatures(nn.Module):
    """Appends to coordinates (B, D) `dim` cosines and sines of their random projections.

    Tancik et al. 2020, equation 5 ("Gaussian mapping"): a plain MLP is slow to learn detail much
    finer than the range of its inputs; features that vary quickly help.

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
