"""A diffusion transformer: attention between patches of an image, modulated by the timestep.

    Peebles & Xie 2023        Scalable Diffusion Models with Transformers, arXiv:2212.09748
    Li & He 2025              Back to Basics: Let Denoising Generative Models Denoise, 2511.13720

Peebles & Xie cut the latents of an autoencoder into patches; this network cuts the pixels. Such a
network should predict x_0 rather than the noise (Li & He).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.attention import attend
from models.backbone import Backbone, zero_init
from models.embeddings import (
    JumpEmbedding,
    LabelEmbedding,
    sinusoidal_embedding,
    start_and_length,
)
from names import learns_jumps

FREQUENCIES = 256  # size of the sinusoidal embedding of the timestep
PATCHES = (4, 2, 1)  # possible sides of a patch, in order of preference


class Block(nn.Module):
    """Attention, then an MLP for each patch, both modulated by timestep and label (adaLN-Zero).

    The input of each branch is normalised, scaled and shifted, and its output is scaled, at the
    start of training by zero (Peebles & Xie 2023, figure 3).
    Maps patches (B, N, size) and an embedding (B, size) to (B, N, size).
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(size, eps=1e-6, elementwise_affine=False)
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.mlp = nn.Sequential(
            nn.Linear(size, 4 * size), nn.GELU("tanh"), nn.Linear(4 * size, size)
        )
        self.modulation = zero_init(nn.Linear(size, 6 * size))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift, scale, gate, *of_mlp = self.modulation(embedding)[:, None].chunk(6, dim=-1)
        x = x + gate * self.attention(modulate(self.norm(x), shift, scale))
        shift, scale, gate = of_mlp
        return x + gate * self.mlp(modulate(self.norm(x), shift, scale))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(attend(q, k, v).transpose(1, 2).flatten(2))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, x, 1 + scale)


class DiT(Backbone):
    """Predicts noise (or x_0, or v) from noisy images and their timesteps.

    Args:
        shape: of an image, (C, H, W).
        size: width of the transformer.
        layers: number of blocks.
        heads: number of attention heads.
        patch: the side of a patch, in pixels; it divides both sides of the image.
        classes: number of classes; 0 for a network without labels.
        jumps: whether the network learns jumps from one timestep to another.

    Shapes: x (B, C, H, W), t (B,), or (1,) for one timestep shared by all, labels (B,) or none
    -> (B, C, H, W).
    """

    title: ClassVar[str] = "transformer"

    def __init__(
        self,
        shape: tuple[int, int, int],
        size: int,
        layers: int,
        heads: int,
        patch: int,
        classes: int = 0,
        jumps: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.patch, self.heads = patch, heads
        self.time_mlp = nn.Sequential(
            nn.Linear(FREQUENCIES, size), nn.SiLU(), nn.Linear(size, size)
        )
        self.label_embedding = LabelEmbedding(classes, size) if classes else None
        self.jump_embedding = JumpEmbedding(size) if jumps else None
        self.stem = nn.Linear(channels * patch**2, size)
        self.positions = nn.Parameter(0.02 * torch.randn(height * width // patch**2, size))
        self.blocks = nn.ModuleList(Block(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size, eps=1e-6, elementwise_affine=False)
        self.modulation = zero_init(nn.Linear(size, 2 * size))
        self.head = zero_init(nn.Linear(size, channels * patch**2))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DiT:
        channels, height, width = config["shape"]
        size, heads = config["hidden_size"], config["heads"]
        patch = config["patch_size"] or usual_patch(height, width)
        if height % patch or width % patch:
            raise ValueError(
                f"--patch_size {patch} does not divide the sides of {width} x {height} pixels"
            )
        if size % heads:
            raise ValueError(f"--heads {heads} does not divide --hidden_size {size}")
        return cls(
            (channels, height, width),
            size,
            config["hidden_layers"],
            heads,
            patch,
            len(config["label_counts"]),
            learns_jumps(config),
        )

    def hidden_weights(self) -> list[Tensor]:
        """The matrices of attention and MLPs, without those that modulate by timestep and label."""
        return [
            layer.weight
            for block in self.blocks
            for name, layer in block.named_modules()
            if isinstance(layer, nn.Linear) and name != "modulation"
        ]

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        t, length = start_and_length(t)
        embedding = self.add_jump(self.time_mlp(sinusoidal_embedding(t, FREQUENCIES)), length)
        if self.label_embedding is not None:
            embedding = embedding + self.label_embedding(labels)
        embedding = nn.functional.silu(embedding)
        h = self.stem(to_patches(x, self.patch)) + self.positions
        for block in self.blocks:
            h = block(h, embedding)
        shift, scale = self.modulation(embedding)[:, None].chunk(2, dim=-1)
        return from_patches(self.head(modulate(self.norm(h), shift, scale)), self.patch, x.shape)


def usual_patch(height: int, width: int) -> int:
    """The largest of `PATCHES` that divides both sides."""
    return next(side for side in PATCHES if height % side == width % side == 0)


def to_patches(x: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) as patches, (B, H W / side^2, C side^2), row by row."""
    return nn.functional.unfold(x, side, stride=side).transpose(1, 2)


def from_patches(patches: Tensor, side: int, shape: torch.Size) -> Tensor:
    """The inverse of `to_patches`, for images of that shape (B, C, H, W)."""
    return nn.functional.fold(patches.transpose(1, 2), shape[-2:], side, stride=side)
