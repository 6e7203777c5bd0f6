"""Class labels for a network, and guidance away from "no class" or from a worse network.

A network trained with labels is called as network(x, t, labels). The label after the last class
means "no class"; without labels the network uses it for all examples.

    Ho & Salimans 2022        Classifier-Free Diffusion Guidance, arXiv:2207.12598
    Karras et al. 2024        Guiding a Diffusion Model with a Bad Version of Itself, 2406.02507
    Kynkaanniemi et al. 2024  Applying Guidance in a Limited Interval Improves ..., 2404.07724
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion import Denoiser, Model

Network = Callable[..., Tensor]


def cycle_labels(labels: Sequence[int], count: int) -> Tensor:
    """`count` labels, int64 (count,), by cycling through `labels`."""
    return torch.tensor(labels)[torch.arange(count) % len(labels)]


def with_examples(label_counts: Sequence[int]) -> list[int]:
    """The labels of the classes that have examples; a model learns nothing about the others."""
    return [label for label, count in enumerate(label_counts) if count > 0]


def knows_unlabelled(config: Mapping[str, Any]) -> bool:
    """Whether a network trained with this configuration can predict without a label: its data have
    no labels, or some were dropped in training."""
    return not config["label_counts"] or config["label_dropout"] > 0


def in_proportion(label_counts: Sequence[int], count: int) -> Tensor:
    """`count` labels, int64 (count,), with each class in proportion to its count in the data."""
    shares = torch.tensor(label_counts, dtype=torch.float64).cumsum(0) / sum(label_counts)
    return torch.searchsorted(shares, (torch.arange(count, dtype=torch.float64) + 0.5) / count)


def drop_labels(
    labels: Tensor, classes: int, probability: float, generator: torch.Generator | None = None
) -> Tensor:
    """Labels (B,), each replaced by "no class" with that probability (algorithm 1).

    So one network learns both predictions that guidance needs: with the class, and without.
    """
    dropped = torch.rand(len(labels), generator=generator, device=labels.device) < probability
    return torch.where(dropped, classes, labels)


class Conditioned:
    """A network with fixed labels (B,), or without labels: a function of x and t alone."""

    def __init__(self, network: Network, labels: Tensor | None) -> None:
        self.network, self.labels = network, labels

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, t) if self.labels is None else self.network(x, t, self.labels)

    def rows(self, some: slice) -> Conditioned:
        """The same network for some of the examples."""
        return Conditioned(self.network, None if self.labels is None else self.labels[some])


def guided(network: Network, labels: Tensor, classes: int, guidance: float) -> Model:
    """The network's predictions with a class and without, extrapolated towards the class.

    guidance * f(x, t, label) + (1 - guidance) * f(x, t, none): equation 6 with w = guidance - 1.
    A scale of 1 uses the class alone, 0 no class at all, and more than 1 exaggerates the features
    of the class. At fixed x and t, x0, eps and v are linear in each other, so the scale means the
    same for each of them.

    Both predictions are computed in one batch of twice the size.

    Args:
        labels: (B,), for the x (B, ...) that the model will be called with.
        classes: the number of classes, which is also the label for "no class".
    """
    if guidance == 1:
        return Conditioned(network, labels)
    both = torch.cat([labels, torch.full_like(labels, classes)])

    def model(x: Tensor, t: Tensor) -> Tensor:
        times = t if len(t) == 1 else torch.cat([t, t])
        with_class, without = network(torch.cat([x, x]), times, both).chunk(2)
        return torch.lerp(without, with_class, guidance)

    return model


def guided_by(guide: Model, model: Model, guidance: float) -> Model:
    """The predictions of a model, extrapolated away from those of a worse one, its `guide`.

    guidance * f(x, t) + (1 - guidance) * g(x, t): Karras et al. 2024, section 4. Both models make
    similar errors, the guide larger ones. So moving from its prediction past the model's leads
    towards the data. A scale of 1 uses the model alone.
    """

    def model_and_guide(x: Tensor, t: Tensor) -> Tensor:
        # The product is computed before the model runs: on a GPU, the model's CUDA graph could
        # overwrite the output of the guide's graph.
        weak = (1 - guidance) * guide(x, t)
        return weak + guidance * model(x, t)

    return model_and_guide


def in_interval(interval: tuple[int, int], helped: Denoiser, plain: Denoiser) -> Denoiser:
    """`helped` at the timesteps within `interval` (both ends included), and `plain` elsewhere.

    Guidance at all timesteps costs variety (Kynkaanniemi et al. 2024, who guide in the middle).
    With an early checkpoint as the guide, the noisier half is best (docs/RESULTS.md).
    """
    first, last = interval

    def denoise(x: Tensor, t: int, *to: int) -> tuple[Tensor, Tensor]:
        return helped(x, t, *to) if first <= t <= last else plain(x, t, *to)

    return denoise
