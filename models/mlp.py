"""A multilayer perceptron with residual connections, for 2-D points and for flattened images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import Backbone, zero_init
from models.embeddings import (
    FourierFeatures,
    JumpEmbedding,
    LabelEmbedding,
    TimeEmbedding,
    start_and_length,
)
from names import learns_jumps


class Block(nn.Module):
    """A hidden layer that depends on the timestep, with a residual connection if widths are equal.

    Maps (B, inputs) and its part of the time embedding, (B or 1, outputs), to (B, outputs).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.residual = inputs == outputs

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = F.silu(self.linear(x) + time)
        return x + h if self.residual else h


class MLP(Backbone):
    """Predicts noise (or x_0, or v) from noisy vectors and their timesteps.

    Args:
        shape: of one example, (2,) for points or (C, H, W) for images, which are flattened.
        widths: of the hidden layers.
        time: the embedding of timesteps.
        features: the embedding of coordinates; None for raw coordinates.
        classes: number of classes; 0 for a network without labels.
        jumps: whether the network learns jumps from one timestep to another.

    Shapes: x (B, *shape), t (B,), or (1,) for one timestep shared by all, labels (B,) or none
    -> (B, *shape).
    """

    title: ClassVar[str] = "MLP"

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        time: TimeEmbedding,
        features: FourierFeatures | None = None,
        classes: int = 0,
        jumps: bool = False,
    ) -> None:
        super().__init__()
        self.time = time
        self.features = features
        self.widths = list(widths)
        size = math.prod(shape)
        self.stem = nn.Linear(size if features is None else features.size, widths[0])
        # Time embeddings for all layers in one matrix product.
        self.time_weights = nn.Linear(time.size, sum(widths), bias=False)
        self.label_embedding = LabelEmbedding(classes, sum(widths)) if classes else None
        self.jump_embedding = JumpEmbedding(sum(widths)) if jumps else None
        self.blocks = nn.ModuleList(
            Block(inputs, outputs)
            for inputs, outputs in zip([widths[0], *widths], widths, strict=False)
        )
        self.head = zero_init(nn.Linear(widths[-1], size))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MLP:
        shape, time = config["shape"], TimeEmbedding.from_config(config)
        features = None
        if len(shape) == 1 and config["coordinates"] == "sinusoidal":
            size, scale = config["embedding_size"], config["embedding_scale"]
            features = FourierFeatures(shape[0], size, scale)
        classes, jumps = len(config["label_counts"]), learns_jumps(config)
        return cls(shape, config["hidden_dims"], time, features, classes, jumps)

    def hidden_weights(self) -> list[Tensor]:
        """The weights of the hidden layers."""
        layers = (layer for layer in self.blocks.modules() if isinstance(layer, nn.Linear))
        return [layer.weight for layer in layers]

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        h = x.flatten(1)
        if self.features is not None:
            h = self.features(h)
        h = F.silu(self.stem(h))
        t, length = start_and_length(t)
        embedding = self.add_jump(self.embed_time(t), length)
        if self.label_embedding is not None:
            embedding = embedding + self.label_embedding(labels)
        for block, share in zip(self.blocks, embedding.split(self.widths, dim=1), strict=True):
            h = block(h, share)
        return self.head(h).view_as(x)

    def embed_time(self, t: Tensor) -> Tensor:
        """The time embeddings for all layers, side by side: (B, sum(widths))."""
        if len(t) <= self.time.timesteps:
            return self.time_weights(self.time(t))
        # With more examples than timesteps, embed each timestep once and look the rows up. For
        # points this saves a third of a training step.
        every = torch.arange(self.time.timesteps, device=t.device)
        return F.embedding(t, self.time_weights(self.time(every)))
