"""The objective of DDPM: predict what was added to the data, by a weighted squared error."""

from __future__ import annotations

from torch import Tensor

from diffusion import Diffusion, Model


def denoising(diffusion: Diffusion, model: Model, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The mean of w_t |f(x_t, t) - target|^2 of each example, with x_t = alpha_t x_0 + sigma_t eps.

    With uniform weights and eps prediction it is L_simple of Ho et al. 2020, equation 14; the
    weights w_t are those of `diffusion.loss_weights`.

    Args:
        x0: data as the network sees them (B, ...).
        t: timesteps, int64 (B,), as `Diffusion.draw_timesteps` draws them.
        eps: normal noise, of the shape of x0.
    """
    x = diffusion.add_noise(x0, t, eps)
    output = diffusion.run_model(model, x, t)
    squared_error = (output - diffusion.target(x0, t, eps)).square()
    return (diffusion.rows(diffusion.weights, t, x0) * squared_error).flatten(1).mean(1)
