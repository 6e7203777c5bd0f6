"""A small U-Net for small images, fast on a CPU; shown with the shapes of MNIST:

    28x28x1 --unshuffle--> 14x14x4 --> [64 ch, 14x14] --> [128 ch, 7x7] --> middle, attention
    28x28x1 <---shuffle--- 14x14x4 <-- [64 ch, 14x14] <-- [128 ch, 7x7] <------'
                                        (skip)             (skip)

A convolution at 28x28 costs four times as much as at 14x14 and sixteen times as much as at 7x7, and
at 28x28 most pixels of a digit only repeat their neighbours. So the network never works at full
resolution: 2x2 pixels are folded into 4 channels at the input and unfolded at the output (the pixel
shuffle of Shi et al. 2016), and most weights are at 7x7.

Images with a side above 32 pixels get a third level, at an eighth of their resolution, so that
attention has at most 8x8 positions: 64x64x3 is reduced to [64 ch, 32x32], [128 ch, 16x16] and
[128 ch, 8x8]. Sides can be from 16 to 64 pixels. They are padded to a multiple of 4 (8 for three
levels) at the bottom and on the right, and the output is cropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import attend
from models.backbone import Backbone, zero_init
from models.embeddings import (
    JumpEmbedding,
    LabelEmbedding,
    sinusoidal_embedding,
    start_and_length,
)
from names import LARGEST_SIDE, SMALLEST_SIDE, learns_jumps

EMBEDDING_SIZE = 256
TWO_LEVELS = 32  # the longest side with two levels; larger images have three


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of 16 channels, or one group if 16 does not divide the channels.

    PyTorch's CPU kernel handles the channels of a group as one vector: with groups of 8, in
    bfloat16 and channels_last, it takes five times as long.
    """
    return nn.GroupNorm(channels // 16 if channels % 16 == 0 else 1, channels)


def fold(x: Tensor) -> Tensor:
    """Fold 2x2 pixels into channels: (B, C, H, W) to (B, 4 C, H/2, W/2), channels_last."""
    batch, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(2, 3).reshape(batch, height // 2, width // 2, -1).permute(0, 3, 1, 2)


def unfold(x: Tensor) -> Tensor:
    """The inverse of `fold`: (B, 4 C, H, W) to (B, C, 2 H, 2 W), channels_last."""
    batch, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, channels // 4).transpose(2, 3)
    return x.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def pad(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `multiple`."""
    below, right = (-side % multiple for side in x.shape[-2:])
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


class BatchDropout(nn.Module):
    """Dropout with a mask for the whole batch, of which this process may see only a part.

    Processes that train together draw the same mask, and each takes its part. So the dropped
    values do not depend on the number of processes.

    Args:
        share: of the values that are set to zero; the others are scaled up.

    Attributes:
        part, parts: this process sees part number `part` of `parts` equal parts of the batch.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.part, self.parts = 0, 1

    def forward(self, x: Tensor) -> Tensor:
        if self.parts == 1 or not self.training:
            return F.dropout(x, self.share, self.training)
        mask = F.dropout(torch.cat([torch.ones_like(x)] * self.parts), self.share)
        return x * mask.chunk(self.parts)[self.part]


class ResBlock(nn.Module):
    """A 3x3 and a 1x1 convolution, with a scale and a shift per channel from the embedding between.

    The residual block of DDPM with the scale-shift normalisation of Dhariwal & Nichol 2021. Their
    second convolution is 3x3, nine times as expensive as 1x1. Without it a training step takes two
    thirds of the time, and samples are better after the same training time.
    Maps (B, C, H, W) and an embedding (B, E) to (B, C, H, W).
    """

    def __init__(self, channels: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = group_norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale_shift = nn.Linear(embedding_size, 2 * channels)
        self.norm2 = group_norm(channels)
        self.dropout = BatchDropout(dropout)
        self.conv2 = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        return x + self.conv2(self.dropout(F.silu(h)))


class Attention(nn.Module):
    """Self-attention over all positions of a feature map (B, C, H, W), with a residual."""

    def __init__(self, channels: int, head_channels: int = 32) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        while channels % self.heads:
            self.heads -= 1
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)  # (B, positions, 3 C)
        q, k, v = qkv.view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = attend(q, k, v)  # (B, heads, positions, C / heads)
        h = h.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return x + self.out(h)


class UNet(Backbone):
    """Predicts noise (or x_0, or v) from noisy images and their timesteps.

    Args:
        channels: of the image.
        base_channels: width at half the image's resolution; it doubles below that.
        classes: number of classes; 0 for a network without labels.
        dropout: share of the activations in residual blocks that training sets to zero.
        attention: whether to use attention at the lowest resolution.
        levels: number of resolutions below that of the image, 2 or 3.
        jumps: whether the network learns jumps from one timestep to another.

    Shapes: x (B, channels, H, W), t (B,), or (1,) for one timestep shared by all, labels (B,) or
    none -> (B, channels, H, W).
    """

    title: ClassVar[str] = "U-Net"

    def __init__(
        self,
        channels: int = 1,
        base_channels: int = 64,
        classes: int = 0,
        dropout: float = 0.0,
        attention: bool = True,
        levels: int = 2,
        jumps: bool = False,
    ) -> None:
        super().__init__()
        self.levels = levels
        wide = 2 * base_channels
        size = EMBEDDING_SIZE
        self.time_mlp = nn.Sequential(
            nn.Linear(size, 4 * size), nn.SiLU(), nn.Linear(4 * size, size), nn.SiLU()
        )
        self.label_embedding = LabelEmbedding(classes, size) if classes else None
        self.jump_embedding = JumpEmbedding(size) if jumps else None
        self.stem = nn.Conv2d(4 * channels, base_channels, 3, padding=1)
        self.down1 = ResBlock(base_channels, size, dropout)
        self.downsample = nn.Conv2d(4 * base_channels, wide, 1)
        self.down2 = ResBlock(wide, size, dropout)
        if levels == 3:
            self.downsample2 = nn.Conv2d(4 * wide, wide, 1)
            self.down3 = ResBlock(wide, size, dropout)
        self.middle1 = ResBlock(wide, size, dropout)
        self.attention = Attention(wide) if attention else nn.Identity()
        self.middle2 = ResBlock(wide, size, dropout)
        if levels == 3:
            self.up3 = ResBlock(wide, size, dropout)
            self.upsample2 = nn.Conv2d(wide, 4 * wide, 1)
        self.up2 = ResBlock(wide, size, dropout)
        self.upsample = nn.Conv2d(wide, 4 * base_channels, 1)
        self.up1 = ResBlock(base_channels, size, dropout)
        self.norm = group_norm(base_channels)
        self.head = zero_init(nn.Conv2d(base_channels, 4 * channels, 3, padding=1))
        # Convolutions on a CPU run up to twice as fast on channels_last tensors.
        self.to(memory_format=torch.channels_last)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> UNet:
        shape = tuple(config["shape"])
        sides = shape[1:]
        if (
            len(shape) != 3
            or shape[0] not in (1, 3)
            or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides)
        ):
            raise ValueError(
                "the U-Net takes images with 1 or 3 channels and sides of"
                f" {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, not the shape {shape}"
            )
        return cls(
            shape[0],
            config["base_channels"],
            len(config["label_counts"]),
            config["dropout"],
            attention=not config["no_attention"],
            levels=2 if max(sides) <= TWO_LEVELS else 3,
            jumps=learns_jumps(config),
        )

    def hidden_weights(self) -> list[Tensor]:
        """The weights of all convolutions but the first and the last: about half of all weights."""
        ends = (self.stem, self.head)
        layers = (layer for layer in self.modules() if isinstance(layer, nn.Conv2d))
        return [layer.weight for layer in layers if layer not in ends]

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        t, length = start_and_length(t)
        embedding = self.add_jump(self.time_mlp(sinusoidal_embedding(t, EMBEDDING_SIZE)), length)
        if self.label_embedding is not None:
            embedding = embedding + self.label_embedding(labels)
        height, width = x.shape[-2:]
        fine = self.down1(self.stem(fold(pad(x, 2**self.levels))), embedding)
        coarse = self.down2(self.downsample(fold(fine)), embedding)
        # Skip connections are added: after a concatenation, convolutions would cost twice as much.
        if self.levels == 2:
            h = self.middle(coarse, embedding)
        else:
            deep = self.down3(self.downsample2(fold(coarse)), embedding)
            h = self.up3(self.middle(deep, embedding) + deep, embedding)
            h = unfold(self.upsample2(h))
        h = self.up2(h + coarse, embedding)
        h = self.up1(unfold(self.upsample(h)) + fine, embedding)
        return unfold(self.head(F.silu(self.norm(h))))[..., :height, :width]

    def middle(self, x: Tensor, embedding: Tensor) -> Tensor:
        """The blocks at the lowest resolution: (B, C, H, W) to the same shape."""
        h = self.attention(self.middle1(x, embedding))
        return self.middle2(h, embedding)
