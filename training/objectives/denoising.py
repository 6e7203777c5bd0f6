"""The objective of DDPM: the weighted squared error of the prediction."""

from __future__ import annotations

from torch import Tensor

from diffusion import Diffusion, Model


def denoising(diffusion: Diffusion, model: Model, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The mean of w_t |f(x_t, t) - target|^2 of each example, with x_t = alpha_t x_0 + sigma_t eps.

    The weights w_t are those of `diffusion.loss_weights`. With uniform weights and eps prediction
    this is L_simple of Ho et al. 2020, equation 14.

    Args:
        x0: data in the units of the network (B, ...).
        t: timesteps, int64 (B,), as `Diffusion.draw_timesteps` draws them.
        eps: normal noise, of the shape of x0.
    """
    x = diffusion.add_noise(x0, t, eps)
    output = diffusion.run_model(model, x, t)
    squared_error = (output - diffusion.target(x0, t, eps)).square()
    return (diffusion.rows(diffusion.weights, t, x0) * squared_error).flatten(1).mean(1)
