"""The averaged weights sample better than the last ones, after a short run and after a long one."""

import pytest
import torch

import train
from samplers import ddim, exact_denoiser, final, trailing_timesteps


def errors_after(epochs: int, points: int, seed: int, folder) -> list[float]:
    """How far samples by the averaged weights, and by the last ones, are from those that the best
    possible denoiser makes of the same noise: medians, in spreads of the data.

    The learning rate is high and constant: steps are noisy, which is what averaging is for.
    """
    options = "--dataset gaussians --hidden_size 64 --lr 1e-2"
    options += f" --lr_schedule constant --ema_decay 0.9999 --epochs {epochs} --seed {seed}"
    options += f" --batch_size 20 --num_points {points}"
    options += f" --sample_interval {epochs} --num_samples 10 --output_dir {folder}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    trainer.train()
    run, diffusion = trainer.run, trainer.run.diffusion
    schedule = diffusion.schedule
    timesteps = trailing_timesteps(len(schedule), 25)
    x = diffusion.starting_noise(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))
    best = exact_denoiser(run.units.to_model(run.batches.examples), schedule)
    exact, averaged, last = (
        final(ddim(denoise, x, schedule, timesteps))
        for denoise in (best, *map(diffusion.denoiser, (run.ema.model, run.model)))
    )
    return [(samples - exact).norm(dim=1).median().item() for samples in (averaged, last)]


@pytest.mark.parametrize(
    ("epochs", "points"), [(1, 8000), pytest.param(100, 500, marks=pytest.mark.slow)]
)
def test_the_average_samples_better_after(epochs, points, tmp_path):
    errors = [errors_after(epochs, points, seed, tmp_path) for seed in range(3)]
    averaged, last = (sum(column) for column in zip(*errors, strict=True))
    assert averaged < 0.97 * last, errors
