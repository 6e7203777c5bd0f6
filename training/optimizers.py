"""The optimizers: AdamW, or Muon for most of a network and AdamW for the rest.

Loshchilov & Hutter 2019  Decoupled Weight Decay Regularization (AdamW), arXiv:1711.05101
Jordan et al. 2024        Muon: an optimizer for hidden layers, kellerjordan.github.io/posts/muon
Liu et al. 2025           Muon is Scalable for LLM Training, arXiv:2502.16982
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.backbone import Backbone
from training.settings import TrainSettings

# The coefficients of x -> a x + b x^3 + c x^5, which moves every number in (0, 1] close to 1 in a
# few rounds, with the steepest slope at 0 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices (rows, columns) with their singular values moved close to 1.

    U S V' becomes approximately U V', so that all directions of a gradient count about equally.
    Relative to the root of the sum of their squares, singular values of at least 0.0015 become 0.68
    to 1.21. Smaller ones would need more rounds: they are multiplied by 450 to 485.
    """
    wide = [of_norm_one(x if len(x) <= x.shape[1] else x.mT) for x in matrices]
    alike: dict[int, list[int]] = {}
    for index, x in enumerate(wide):
        alike.setdefault(len(x), []).append(index)
    for indices in alike.values():
        factors = whitening(torch.stack([wide[index] @ wide[index].mT for index in indices]))
        for index, factor in zip(indices, factors, strict=True):
            wide[index] = factor @ wide[index]
    return [
        x if len(like) <= like.shape[1] else x.mT for x, like in zip(wide, matrices, strict=True)
    ]


def of_norm_one(matrix: Tensor) -> Tensor:
    """A multiple of a matrix with no singular value above 1. Zeros stay zero."""
    # First divide by the largest entry: the squares of small gradients would underflow to zero.
    matrix = matrix / matrix.abs().amax().clamp(min=torch.finfo(matrix.dtype).tiny)
    return matrix / matrix.norm().clamp(min=1)


def whitening(gram: Tensor) -> Tensor:
    """For G = X X' (N, n, n), the matrix Q for which Q X is approximately U V'.

    Each round replaces X by P X with P = a + b G + c G^2, and so G by P G P; Q is the product of
    all P. This applies a polynomial to the singular values using only products of the small
    matrices G and P, not of X, which is many times wider than high.
    """
    step = factor = quintic(gram)
    for _ in range(ROUNDS - 1):
        gram = step @ gram @ step
        step = quintic(gram)
        factor = step @ factor
    return factor


def quintic(gram: Tensor) -> Tensor:
    """P of one round, (N, n, n): x -> a x + b x^3 + c x^5 is x times this polynomial in x^2."""
    a, b, c = QUINTIC
    even = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    even.diagonal(dim1=1, dim2=2).add_(a)
    return even


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum, for the weights of hidden layers.

    The weights of a convolution (outputs, inputs, height, width) are treated as a matrix (outputs,
    inputs * height * width). A step is scaled to the size of AdamW's, so that both can share a
    learning rate: its root mean square is 0.2 times that rate (Liu et al. 2025, equation 4).
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # there is none
        for group in self.param_groups:
            weights = group["params"]
            moved = [self.averaged(weight, group["momentum"]) for weight in weights]
            steps = orthogonal([x.flatten(1) for x in moved])
            for weight, step in zip(weights, steps, strict=True):
                size = 0.2 * math.sqrt(max(step.shape))
                weight.sub_(step.view(weight.shape), alpha=group["lr"] * size)

    def averaged(self, weight: Tensor, momentum: float) -> Tensor:
        """The moving average of the weight's gradients, one step ahead (Nesterov momentum)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


class Together:
    """Several optimizers presented as one, for a gradient scaler.

    A scaler checks the gradients of each optimizer for infinities, and skips the step of that one
    only. The others would step with gradients that were ruined by clipping to an infinite norm.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def make_optimizers(
    name: str, model: Backbone, lr: float, device: torch.device
) -> list[torch.optim.Optimizer]:
    """The optimizers that together update all weights of a network.

    Args:
        name: `adamw`, or `muon`, which updates `model.hidden_weights()` and leaves the rest to
            AdamW: vectors, and the layers for the image, the timestep and the label.
    """
    hidden = model.hidden_weights() if name == "muon" else []
    chosen = {id(weight) for weight in hidden}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    adamw = torch.optim.AdamW(rest, lr=lr, weight_decay=0.0, fused=device.type != "mps")
    if not hidden:
        return [adamw]
    return [Muon(hidden, lr), adamw]


class Optimizers:
    """The optimizers of a network, which take each step together, with one learning rate.

    Args:
        precision: of the network; half precision loses small gradients, so they are scaled up.
    """

    def __init__(
        self, model: Backbone, settings: TrainSettings, precision: str, device: torch.device
    ) -> None:
        self.model, self.parameters = model, list(model.parameters())
        self.largest_norm = settings.grad_clip or math.inf
        self.all = make_optimizers(settings.optimizer, model, settings.lr, device)
        self.together = Together(self.all)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def step(self, loss: Tensor, lr: float) -> Tensor:
        """Take a step down the gradient of the loss, and return the norm of that gradient, on the
        device. In half precision, a step with an infinite gradient is skipped."""
        for group in self.together.param_groups:
            group["lr"] = lr
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.together)  # type: ignore[arg-type]  # it has what the scaler uses
        norm = nn.utils.clip_grad_norm_(self.parameters, self.largest_norm)
        self.scaler.step(self.together)  # type: ignore[arg-type]
        self.scaler.update()
        self.model.zero_grad()
        return norm

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.all],
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        for optimizer, held in zip(self.all, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self.scaler.load_state_dict(state["scaler"])

    def fill_state(self) -> None:
        """Initialise the state of new optimizers, by a step with gradients of zero."""
        for group in self.together.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        self.together.step()
        self.model.zero_grad()
