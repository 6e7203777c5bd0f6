"""The averaged weights sample better than the last ones, after a short run and after a long one."""

import pytest
import torch

import train
from metrics import sliced_wasserstein
from samplers import ddim, final, trailing_timesteps
from shapes import make_shape
from utils import SeededNoise


def errors_after(epochs: int, seed: int, folder) -> tuple[float, float]:
    """Distance of samples from the data: by the averaged weights, and by the last ones.

    The learning rate is high and constant: steps are noisy, which is what averaging is for.
    """
    options = "--dataset gaussians --num_points 2000 --batch_size 25 --hidden_size 64 --lr 1e-2"
    options += f" --lr_schedule constant --ema_decay 0.9999 --epochs {epochs} --seed {seed}"
    options += f" --sample_interval {epochs} --num_samples 10 --output_dir {folder / str(seed)}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    trainer.run()
    data = torch.from_numpy(make_shape("gaussians", 4000, 999)[0])
    x = trainer.diffusion.starting_noise(SeededNoise(0, 0, 4000, "cpu").draw(2))
    schedule = trainer.diffusion.schedule
    distances = []
    for model in (trainer.ema.model, trainer.model):
        denoise = trainer.diffusion.denoiser(model)
        samples = final(ddim(denoise, x, schedule, trailing_timesteps(len(schedule), 100)))
        distances.append(sliced_wasserstein(trainer.space.to_data(samples), data))
    return distances[0], distances[1]


@pytest.mark.parametrize("epochs", [1, 100])
def test_the_average_samples_better_after(epochs, tmp_path):
    averaged, last = torch.tensor([errors_after(epochs, seed, tmp_path) for seed in range(3)]).T
    assert (averaged < last).all(), (averaged, last)
