"""A multilayer perceptron with residual connections, for 2-D points and for flattened images."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.embeddings import FourierFeatures, TimeEmbedding


class Block(nn.Module):
    """One hidden layer, told the time, with a residual connection where the widths allow it.

    Maps (B, inputs) and a time embedding (B, E) to (B, outputs).
    """

    def __init__(self, inputs: int, outputs: int, embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.time = nn.Linear(embedding_size, outputs, bias=False)
        self.residual = inputs == outputs

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = F.gelu(self.linear(x) + self.time(embedding))
        return x + h if self.residual else h


class MLP(nn.Module):
    """Predict noise (or x_0, or v) from noisy vectors and their timestep.

    Args:
        shape: of one example, (2,) for points, (1, 28, 28) for images; it is flattened.
        widths: of the hidden layers.
        time: how the time is embedded.
        features: how coordinates are embedded; None feeds them in as they are.

    Shapes: x (B, *shape), t (B,) -> (B, *shape).
    """

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        time: TimeEmbedding,
        features: FourierFeatures | None = None,
    ) -> None:
        super().__init__()
        self.time = time
        self.features = features
        size = 1
        for side in shape:
            size *= side
        first = size if features is None else features.size
        self.stem = nn.Linear(first, widths[0])
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, time.size)
            for inputs, outputs in zip([widths[0], *widths], widths, strict=False)
        )
        self.head = nn.Linear(widths[-1], size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.time(t)
        h = x.flatten(1)
        if self.features is not None:
            h = self.features(h)
        h = F.gelu(self.stem(h))
        for block in self.blocks:
            h = block(h, embedding)
        return self.head(h).view_as(x)
