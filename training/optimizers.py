"""What moves the weights: AdamW, or Muon for most of a network and AdamW for the rest.

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

# Of x -> a x + b x^3 + c x^5, which takes every number in (0, 1] to one near 1 in a few rounds,
# and the smallest of them fastest (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices (rows, columns) with their singular values brought near 1.

    U S V' becomes about U V', so that every direction that a gradient has counts about alike.
    Singular values of at least 0.0015 of the root of the sum of their squares become 0.68 to 1.21.
    Fainter ones do not get there in so few rounds: they become 450 to 485 times that share.
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
    """A multiple of a matrix, so that no singular value is above 1. Zeros stay."""
    # Divided by the largest entry first: the squares of small gradients would round to zero.
    matrix = matrix / matrix.abs().amax().clamp(min=torch.finfo(matrix.dtype).tiny)
    return matrix / matrix.norm().clamp(min=1)


def whitening(gram: Tensor) -> Tensor:
    """For G = X X' (N, n, n) the Q that takes X to about U V'.

    Each round takes X to P X with P = a + b G + c G^2, and so G to P G P; Q is the product of all
    P. So a polynomial acts on the singular values, by products alone, and not of X itself, which is
    many times as long as it is high.
    """
    step = factor = quintic(gram)
    for _ in range(ROUNDS - 1):
        gram = step @ gram @ step
        step = quintic(gram)
        factor = step @ factor
    return factor


def quintic(gram: Tensor) -> Tensor:
    """P of one round (N, n, n): x -> a x + b x^3 + c x^5 is x times this polynomial of x^2."""
    a, b, c = QUINTIC
    even = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    even.diagonal(dim1=1, dim2=2).add_(a)
    return even


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, for the weights of hidden layers.

    A convolution's weights (outputs, inputs, height, width) are a matrix (outputs, inputs * height
    * width). A step is scaled to the size of AdamW's, so both can share a learning rate: its root
    mean square is 0.2 times that (Liu et al. 2025, equation 4).
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
        """The moving average of the weight's gradients, a step ahead (Nesterov)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


class Together:
    """Several optimizers in the place of one, for a gradient scaler.

    It looks for infinities in the gradients of one optimizer at a time and leaves out the step of
    that one. The others would go on, with gradients that clipping by an infinite norm has ruined.
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
    """The optimisers that together move all weights of a network.

    Args:
        name: `adamw`, or `muon`, which leaves to AdamW what `model.hidden_weights()` does not name:
            vectors, and the layers that see the image, the time or the label.
    """
    hidden = model.hidden_weights() if name == "muon" else []
    chosen = {id(weight) for weight in hidden}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    adamw = torch.optim.AdamW(rest, lr=lr, weight_decay=0.0, fused=device.type != "mps")
    if not hidden:
        return [adamw]
    return [Muon(hidden, lr), adamw]


class Optimizers:
    """The optimisers that together move all weights of a network, in one step of one rate.

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
        """Move the weights against the gradient of the loss; the norm of that gradient, still on
        the device. In half precision a step with an infinite gradient is left out."""
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
        """For a checkpoint."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.all],
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        for optimizer, held in zip(self.all, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self.scaler.load_state_dict(state["scaler"])

    def fill_state(self) -> None:
        """Give new optimisers the state that they have after a step, by one that moves nothing."""
        for group in self.together.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        self.together.step()
        self.model.zero_grad()
