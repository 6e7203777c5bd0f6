"""The base class of all networks: how they are called, and made from a configuration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from torch import Tensor, nn

from models.embeddings import JumpEmbedding

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def zero_init(layer: Layer) -> Layer:
    """Initialise a layer to zero, so that its branch adds nothing at the start of training."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Backbone(nn.Module):
    """Predicts noise (or x_0, or v) from noisy examples and their timesteps.

    Shapes: x (B, *shape), t (B,), or (1,) for one timestep shared by all, labels (B,) or none
    -> (B, *shape). If it learns jumps (`names.learns_jumps`), t can also be (B, 2) or (1, 2): the
    timesteps where a jump begins and ends. A new network is a subclass in its own file and a line
    in `models.MODELS`.
    """

    title: ClassVar[str]  # for messages
    jump_embedding: JumpEmbedding | None

    def add_jump(self, embedding: Tensor, length: Tensor | None) -> Tensor:
        """The embedding of t, plus that of the length of the jump, if there is one.

        Raises:
            ValueError: the network was not trained for jumps.
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

        It reads the network's own options, `shape` (that of one example) and `label_counts` (one
        count for each class to learn).

        Raises:
            KeyError: a setting is missing.
            ValueError: the network does not support data of this shape.
        """

    @abstractmethod
    def hidden_weights(self) -> list[Tensor]:
        """The weights that Muon trains: those of all layers but the first and the last."""
