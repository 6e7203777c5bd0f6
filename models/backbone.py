"""What all networks have in common: how they are called, and how a configuration makes one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from torch import Tensor, nn

from models.embeddings import JumpEmbedding

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def zero_init(layer: Layer) -> Layer:
    """Start a layer at zero, so that its branch adds nothing until it has learned something."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Backbone(nn.Module):
    """Predicts noise (or x_0, or v) from noisy examples and their timestep.

    Shapes: x (B, *shape), t (B,), or (1,) for one timestep shared by all, labels (B,) or none
    -> (B, *shape). If it learns jumps (`names.learns_jumps`), t is also (B, 2), from where and to
    where, or (1, 2). A new network is a subclass in a file of its own and a line in
    `models.MODELS`.
    """

    title: ClassVar[str]  # for people
    jump_embedding: JumpEmbedding | None

    def add_jump(self, embedding: Tensor, length: Tensor | None) -> Tensor:
        """The embedding of t, and of how far to jump from there if that is asked for.

        Raises:
            ValueError: the network was not trained for that.
        """
        if length is None:
            return embedding
        if self.jump_embedding is None:
            raise ValueError("this network was not trained for jumps (--objective shortcut)")
        return embedding + self.jump_embedding(length)

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The untrained network that a run's configuration describes.

        It reads its own options, `shape`, that of one example, and `label_counts`, one for each
        class that it learns.

        Raises:
            KeyError: a setting is missing.
            ValueError: it is not for data of this shape.
        """

    @abstractmethod
    def hidden_weights(self) -> list[Tensor]:
        """The weights of all layers but the first and the last, which Muon trains."""
