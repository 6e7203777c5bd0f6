"""evaluation/copies.py: samples that repeat a training image are found and shown."""

import numpy as np
import pytest
import torch
from studio import picture, record_figures, texts_above

from evaluation.copies import closeness, draw_copies
from evaluation.point_metrics import nearest_of
from plots.images import GAP

torch.manual_seed(0)
TRAIN = torch.randint(0, 256, (50, 8, 8), dtype=torch.uint8)
SAMPLES = torch.randint(0, 256, (20, 8, 8), dtype=torch.uint8)


def flat(images):
    return images.flatten(1).float()


def planted():
    """One copy, and one that is off by 3 everywhere."""
    samples = SAMPLES.clone()
    samples[7] = TRAIN[31]
    samples[3] = TRAIN[12].clamp(max=252) + 3
    train = TRAIN.clone()
    train[12] = train[12].clamp(max=252)
    return samples, train


@pytest.mark.parametrize("colours", [(), (3,)])
def test_the_nearest_is_found_image_by_image(colours):
    samples = torch.randint(0, 256, (9, 5, 4, *colours), dtype=torch.uint8)
    others = torch.randint(0, 256, (13, 5, 4, *colours), dtype=torch.uint8)
    closest, difference = nearest_of(flat(samples), flat(others))
    for i, image in enumerate(samples.double()):
        by_hand = [(image - other).norm().item() for other in others.double()]
        assert difference[i].item() == pytest.approx(min(by_hand), rel=1e-5)
        assert closest[i] == by_hand.index(min(by_hand))


def test_an_image_is_not_its_own_neighbour():
    closest, distance = nearest_of(flat(TRAIN), flat(TRAIN), torch.arange(len(TRAIN)))
    assert (closest != torch.arange(len(TRAIN))).all()
    assert (distance > 0).all()


def test_closeness_is_a_share_of_the_distance_to_the_neighbour():
    samples, train = planted()
    closest, share = closeness(flat(samples), flat(train))
    assert share.argsort()[:2].tolist() == [7, 3]
    assert share[7] == 0
    others = torch.cat([train[:12], train[13:]]).double()
    neighbour = (others - train[12].double()).flatten(1).norm(dim=1).min().item()
    assert share[3].item() == pytest.approx(3 * 8 / neighbour, rel=1e-4)
    assert closest[[7, 3]].tolist() == [31, 12]


def test_copies_are_drawn_first_above_what_they_repeat(tmp_path, monkeypatch):
    samples, train = planted()
    drawn = record_figures(monkeypatch)
    figures = draw_copies(samples, train, TRAIN[:5].clamp(max=254) + 1, tmp_path / "copies.png")
    axes = drawn["copies"].axes[0]
    pixels = picture(axes)
    for row, images in enumerate((samples[[7, 3]], train[[31, 12]])):
        for column, image in enumerate(images):
            top, left = (GAP + place * (8 + GAP) for place in (row, column))
            assert np.array_equal(pixels[top : top + 8, left : left + 8], image)
    assert texts_above(axes)[0] == "0.00"
    (close,) = figures.values()
    _, share = closeness(flat(samples), flat(train))
    assert close[0] == (share < 1).double().mean().item() >= 2 / 20
    assert close[1] == 1  # each differs by one grey level
