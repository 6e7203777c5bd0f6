"""Class labels for a network, and guidance: away from no class, or from a worse network.

A network trained with labels is called as network(x, t, labels). The label after the last class
stands for none; without labels it sees that one for all examples.

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
    """`count` labels, int64 (count,), taken from `labels` in turn again and again."""
    return torch.tensor(labels)[torch.arange(count) % len(labels)]


def with_examples(label_counts: Sequence[int]) -> list[int]:
    """The labels of the classes that have examples; a model knows nothing of the others."""
    return [label for label, count in enumerate(label_counts) if count > 0]


def knows_unlabelled(config: Mapping[str, Any]) -> bool:
    """Whether a run with this configuration saw examples without a label, which then mean no class;
    `label_dropout` 0 shows it none."""
    return not config["label_counts"] or config["label_dropout"] > 0


def in_proportion(label_counts: Sequence[int], count: int) -> Tensor:
    """`count` labels, int64 (count,), each class as often as in data with these counts."""
    shares = torch.tensor(label_counts, dtype=torch.float64).cumsum(0) / sum(label_counts)
    return torch.searchsorted(shares, (torch.arange(count, dtype=torch.float64) + 0.5) / count)


def drop_labels(
    labels: Tensor, classes: int, probability: float, generator: torch.Generator | None = None
) -> Tensor:
    """Labels (B,) with each replaced by "no class" with that probability (algorithm 1).

    So one network learns both what guidance needs: with the class, and without.
    """
    dropped = torch.rand(len(labels), generator=generator, device=labels.device) < probability
    return torch.where(dropped, classes, labels)


class Conditioned:
    """A network with its labels (B,), or none, fixed: a function of x and t alone."""

    def __init__(self, network: Network, labels: Tensor | None) -> None:
        self.network, self.labels = network, labels

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, t) if self.labels is None else self.network(x, t, self.labels)

    def rows(self, some: slice) -> Conditioned:
        """The same for some of the examples."""
        return Conditioned(self.network, None if self.labels is None else self.labels[some])


def guided(network: Network, labels: Tensor, classes: int, guidance: float) -> Model:
    """The network's answers with a class and without, extrapolated towards the class.

    guidance * f(x, t, label) + (1 - guidance) * f(x, t, none): equation 6 with w = guidance - 1.
    1 is the class alone, 0 no class at all, more than 1 exaggerates what makes the class. x0, eps
    and v are linear in each other at fixed x and t, so it means the same for each prediction.

    Both answers are taken in one batch, of twice the size.

    Args:
        labels: (B,), for the x (B, ...) that the model will be called with.
        classes: how many there are, which is also the label for none.
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
    """The answers of a model, extrapolated away from those of a worse one, its `guide`.

    guidance * f(x, t) + (1 - guidance) * g(x, t): Karras et al. 2024, section 4. Both err in the
    same places, the worse one more, so going on from its answer to the better one's goes towards
    the data. 1 is the model alone.
    """

    def model_and_guide(x: Tensor, t: Tensor) -> Tensor:
        # The product is taken before the model runs: on a GPU its CUDA graph could overwrite the
        # tensor that the guide's graph answered with.
        weak = (1 - guidance) * guide(x, t)
        return weak + guidance * model(x, t)

    return model_and_guide


def in_interval(interval: tuple[int, int], helped: Denoiser, plain: Denoiser) -> Denoiser:
    """`helped` at the timesteps from the first to the second of `interval`, elsewhere `plain`.

    Guidance decides what is made while there is little but noise; later it costs time and variety
    (Kynkaanniemi et al. 2024).
    """
    first, last = interval

    def denoise(x: Tensor, t: int, *to: int) -> tuple[Tensor, Tensor]:
        return helped(x, t, *to) if first <= t <= last else plain(x, t, *to)

    return denoise
