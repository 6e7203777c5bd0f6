"""The model of images shared by the tests of sampling."""

import imageio.v3 as iio
import numpy as np
import pytest
from scripts import succeed


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A short class-conditional run on digits, an image, and a mask of its lower half."""
    folder = tmp_path_factory.mktemp("sampling")
    options = "--dataset digits --subset 256 --epochs 1 --base_channels 8 --class_conditional"
    succeed("train.py", *options.split(), "--num_samples", 4, cwd=folder)
    hole = np.zeros((28, 28), dtype=np.uint8)
    hole[14:] = 255
    iio.imwrite(folder / "hole.png", hole)
    iio.imwrite(folder / "image.png", np.arange(784).reshape(28, 28).astype(np.uint8))
    return folder
