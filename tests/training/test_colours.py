"""What a network learns of colours: samples have the channels of the data, each in its place.

The colour of every image is drawn from a normal distribution in which red, green and blue differ in
mean and depend on each other, so a network that mixed channels up would be found out. It changes
over the image, so one that mixed places up would be found out, too.
"""

import numpy as np
import pytest
import torch

import train
from sampling import SampleSettings, generate, restore

COUNT, SIDE = 600, 16
PLACES = ((6, 3), (6, 12))  # row and column of a pixel


def colours(rng):
    """600 shades of orange, float64 (600, 1, 1, 3): the redder, the less blue."""
    light, hue = rng.normal(size=(2, COUNT, 1))
    return (np.array([200, 120, 60]) + light * [25, 20, -15] + hue * [0, 12, 12])[:, None, None]


def plain(colour):
    return np.broadcast_to(colour, (COUNT, SIDE, SIDE, 3))


def gradient(colour):
    return plain(colour) * np.linspace(1, 0.2, SIDE)[:, None]


def checkerboard(colour):
    rows, columns = np.indices((SIDE, SIDE)) // 4
    return np.where((rows + columns)[..., None] % 2, colour, 255 - colour)


SETS = [
    pytest.param(plain, marks=pytest.mark.slow),
    gradient,
    pytest.param(checkerboard, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("make", SETS, ids=lambda make: make.__name__)
def test_samples_have_the_colours_of_the_data(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = make(colours(np.random.default_rng(0))).clip(0, 255).round().astype(np.uint8)
    np.savez("colours.npz", images=images)
    options = (
        "--dataset colours.npz --holdout 0 --base_channels 16 --batch_size 64 --epochs 45"
        " --sample_interval 100 --device cpu --precision fp32"
    )
    train.make_trainer(train.parse_arguments(options.split())).train()
    torch.manual_seed(0)
    samples = generate(restore(), SampleSettings(count=400, sampler="dpmpp")).numpy()
    assert samples.shape == (400, SIDE, SIDE, 3)
    for row, column in PLACES:
        real, made = (x[:, row, column].astype(float) for x in (images, samples))
        assert made.mean(0) == pytest.approx(real.mean(0), abs=12)
        assert made.std(0) == pytest.approx(real.std(0), rel=0.5)
        # 0.86, -0.79 and -0.35: exchanged channels would be off by more than 1.
        assert np.corrcoef(made.T) == pytest.approx(np.corrcoef(real.T), abs=0.5)
    # Of the gradient and the checkerboard, where colours differ most from place to place.
    assert samples.mean((0, 3)) == pytest.approx(images.mean((0, 3)), abs=12)
