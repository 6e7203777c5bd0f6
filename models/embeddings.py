"""Sinusoidal embeddings: how a network is told the time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
