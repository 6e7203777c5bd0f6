"""The built-in sprites: the same every time, in colour, ten kinds that differ, no two alike."""

import pytest
import torch

from datasets import load_images
from datasets.sprites import BLOCK, CLASS_NAMES, KINDS, Brush, make_sprites


def test_sprites_are_the_same_every_time_and_a_subset_is_a_prefix():
    pixels, labels = make_sprites(train=True, count=BLOCK + 5)
    again, again_labels = make_sprites(train=True, count=10)
    assert pixels.shape == (BLOCK + 5, 32, 32, 3)
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels[:10], again)
    assert torch.equal(labels[:10], again_labels)
    assert labels.bincount(minlength=10).min() > 60  # 100 expected, standard deviation 10


def test_splits_have_the_sizes_of_mnist_and_share_no_image():
    train, _ = make_sprites(train=True, count=BLOCK)
    test, _ = make_sprites(train=False)
    assert len(test) == 10_000
    seen = {image.numpy().tobytes() for image in train}
    assert len(seen) == len(train)  # no two alike
    assert not any(image.numpy().tobytes() in seen for image in test)


def test_every_kind_is_known_by_its_mean_image_or_its_shape():
    """The nearest mean image of a kind, in three colours, finds most: the kinds do differ."""
    pixels, labels = make_sprites(train=True, count=3 * BLOCK)
    x = pixels.float().flatten(1)
    means = torch.stack([x[labels == k].mean(0) for k in range(10)])
    pixels, labels = make_sprites(train=False, count=BLOCK)
    found = torch.cdist(pixels.float().flatten(1), means).argmin(1)
    assert (found == labels).float().mean() > 0.6  # 0.1 by chance


def test_sprites_are_in_colour():
    pixels, _ = make_sprites(train=True, count=BLOCK)
    saturation = pixels.float().amax(3) - pixels.float().amin(3)
    assert saturation.mean() > 40
    assert all(50 < pixels[..., channel].float().std() < 100 for channel in range(3))


def test_a_data_set_says_what_it_is():
    data = load_images("sprites", None, subset=20)
    assert (data.shape, data.classes) == ((3, 32, 32), 10)
    assert data.class_names == CLASS_NAMES
    assert CLASS_NAMES[0] == "house"
    assert len(KINDS) == 10


@pytest.mark.parametrize(
    ("distance", "area"),
    [
        (lambda brush: brush.ellipse(0.1, -0.2, 0.5, 0.3), torch.pi * 0.5 * 0.3),
        (lambda brush: brush.box(0.1, 0.1, 0.5, 0.25), 4 * 0.5 * 0.25),
        (lambda brush: brush.polygon((-0.5, -0.5), (0.5, -0.5), (0.0, 0.5)), 0.5),
        (lambda brush: brush.line(-0.4, 0.0, 0.4, 0.0, 0.2), 0.8 * 0.2 + torch.pi * 0.01),
    ],
    ids=("ellipse", "box", "polygon", "line"),
)
def test_a_painted_shape_covers_its_area(distance, area):
    """Half-covered pixels at the edge count half."""
    brush = Brush(1, torch.Generator())
    brush.paint(distance(brush), torch.ones(1, 3, 1, 1))
    covered = brush.pixels[0, 0].sum().item() * (2 / 32) ** 2
    assert covered == pytest.approx(area, rel=0.04)
