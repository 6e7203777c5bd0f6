"""--flip: half of the images mirrored, and nothing else changed."""

import pytest
import torch

import train
from datasets import Dataset
from diffusion import Diffusion, make_schedule
from guidance import drop_labels
from system.distributed import Group
from training.batches import Batches, mirror

GREY = torch.arange(2 * 3 * 5, dtype=torch.uint8).view(2, 3, 5)
COLOUR = torch.arange(2 * 3 * 5 * 3, dtype=torch.uint8).view(2, 3, 5, 3)
PROCESS = Diffusion(make_schedule("linear", 50), "eps")


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=("grey", "colour"))
def test_only_columns_change_places(images):
    found = mirror(images, torch.tensor([False, True]))
    assert torch.equal(found[0], images[0])
    for column in range(5):
        assert torch.equal(found[1, :, column], images[1, :, 4 - column])
    assert torch.equal(mirror(found, torch.tensor([False, True])), images)


def batches(group=None, flip=True, count=4000, classes=0):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 4, 6, 3), dtype=torch.uint8, generator=generator)
    data = Dataset("mine", images, torch.arange(count) % 3)
    size = count // (group.size if group else 1)
    return data, Batches(data, PROCESS, size, classes, 0.1, group or Group(), flip)


def drawn(seed=0, **options):
    data, made = batches(**options)
    generator = torch.Generator().manual_seed(seed)
    return data, made.draw(torch.arange(len(data)), generator)


def mirrored(data, batch):
    """Which examples of a batch of all data are mirrored; the others must be unchanged."""
    same = (batch.examples == data.examples).flatten(1).all(1)
    turned = (batch.examples == data.examples.flip(2)).flatten(1).all(1)
    assert bool((same ^ turned).all())
    return turned


def test_half_of_a_batch_is_mirrored():
    share = mirrored(*drawn()).float().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)


def test_which_half_changes_with_every_batch():
    first, second = (mirrored(*drawn(seed)).float() for seed in (0, 1))
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.08


@pytest.mark.parametrize("classes", [0, 3])
def test_the_rest_of_a_batch_is_as_without(classes):
    """The random numbers of a run without --flip are also those of earlier releases."""
    data, plain = drawn(flip=False, classes=classes)
    _, flipped = drawn(flip=True, classes=classes)
    assert torch.equal(plain.examples, data.examples)
    generator = torch.Generator().manual_seed(0)
    t = PROCESS.draw_timesteps(4000, generator)
    eps = torch.randn(4000, *data.shape, generator=generator)
    labels = drop_labels(data.labels, 3, 0.1, generator) if classes else None
    for batch in (plain, flipped):
        assert torch.equal(batch.t, t)
        assert torch.equal(batch.eps, eps)
        assert batch.labels is None if labels is None else torch.equal(batch.labels, labels)
    data, made = batches(flip=False, classes=classes)
    again = torch.Generator().manual_seed(0)
    made.draw(torch.arange(4000), again)
    assert torch.equal(again.get_state(), generator.get_state())


def test_two_processes_draw_the_halves_of_one_batch():
    _, whole = drawn(classes=3)
    parts = [drawn(group=Group(rank, 2), classes=3)[1] for rank in range(2)]
    for one, *two in zip(whole, *parts, strict=True):
        assert torch.equal(one, torch.cat(two))


RUN = "--dataset digits --subset 60 --batch_size 16 --epochs 3 --base_channels 8 --num_samples 4"
EXACT = f"{RUN} --precision fp32 --compile off --class_conditional --flip --save_interval 1"


def weights(run):
    parameters = [*run.model.parameters(), *run.ema.averages]
    return torch.cat([one.detach().flatten() for one in parameters])


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    options = f"{EXACT} --output_dir {tmp_path}"
    whole = train.make_trainer(train.parse_arguments(options.split()))
    assert whole.run.config["flip"] is True
    whole.train()
    checkpoint = tmp_path / "checkpoints" / "model_epoch_001.pt"
    resume = ["--resume", str(checkpoint), "--output_dir", str(tmp_path / "again")]
    rest = train.make_trainer(train.parse_arguments(resume))
    assert rest.run.batches.flip
    rest.train()
    assert torch.equal(weights(rest.run), weights(whole.run))
    without = train.make_trainer(train.parse_arguments(options.replace("--flip", "").split()))
    assert without.run.config["flip"] is False
    without.train()
    assert not torch.equal(weights(without.run), weights(whole.run))
