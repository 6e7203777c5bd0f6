"""What moves the weights: AdamW, or Muon for most of a network and AdamW for the rest.

Loshchilov & Hutter 2019  Decoupled Weight Decay Regularization (AdamW), arXiv:1711.05101
Jordan et al. 2024        Muon: an optimizer for hidden layers, kellerjordan.github.io/posts/muon
Liu et al. 2025           Muon is Scalable for LLM Training, arXiv:2502.16982
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from models.mlp import MLP
from models.unet import UNet

# Of x -> a x + b x^3 + c x^5, which takes every number in (0, 1] to one near 1 in a few rounds,
# and the smallest of them fastest (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, rows, columns) with all their singular values brought near 1 (0.7 to 1.2).

    U S V' becomes about U V': every direction that a gradient has counts alike, however faint. A
    polynomial of the matrix acts on its singular values, so it takes products alone.
    """
    a, b, c = QUINTIC
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    # Divided by the largest entry first: the squares of small gradients would round to zero.
    largest = wide.abs().amax(dim=(1, 2), keepdim=True)
    wide = wide / largest.clamp(min=torch.finfo(wide.dtype).tiny)
    # No singular value is larger than this norm, which is 1 at least but for a matrix of zeros.
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1)
    for _ in range(ROUNDS):
        square = wide @ wide.mT
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide.mT if matrices.shape[1] > matrices.shape[2] else wide


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, for the weights of hidden layers.

    A convolution's weights (outputs, inputs, height, width) are a matrix (outputs, inputs * height
    * width). A step is scaled to the size of AdamW's, so both can share a learning rate: its root
    mean square is 0.2 times that (Liu et al. 2025, equation 4).

    Args:
        dtype: in which the steps are made orthogonal; bfloat16 is exact enough.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # there is none
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for weight in group["params"]:
                alike.setdefault((len(weight), weight[0].numel()), []).append(weight)
            for (rows, columns), weights in alike.items():
                moved = [self.averaged(weight, group["momentum"]) for weight in weights]
                steps = orthogonal(torch.stack([x.reshape(rows, columns) for x in moved]))
                size = 0.2 * math.sqrt(max(rows, columns))
                for weight, step in zip(weights, steps.float(), strict=True):
                    weight.sub_(step.view(weight.shape), alpha=group["lr"] * size)

    def averaged(self, weight: Tensor, momentum: float) -> Tensor:
        """The moving average of the weight's gradients, a step ahead (Nesterov)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum).to(self.dtype)


def make_optimizers(
    name: str, model: UNet | MLP, lr: float, device: torch.device, precision: str = "fp32"
) -> list[torch.optim.Optimizer]:
    """The optimisers that together move all weights of a network.

    Args:
        name: `adamw`, or `muon`, which leaves to AdamW what `model.hidden_weights()` does not name:
            vectors, and the layers that see the image, the time or the label.
        precision: of the training; Muon's products are bfloat16 where it is.
    """
    hidden = model.hidden_weights() if name == "muon" else []
    chosen = {id(weight) for weight in hidden}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    adamw = torch.optim.AdamW(rest, lr=lr, weight_decay=0.0, fused=device.type != "mps")
    if not hidden:
        return [adamw]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return [Muon(hidden, lr, dtype=dtype), adamw]
