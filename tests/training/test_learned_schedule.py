"""The schedule `learned`: its table, how training changes it, and resumed runs."""

import json

import numpy as np
import pytest
import torch
from scripts import refuse
from studio import record_figures
from torch import Tensor

import training.learned_schedule
from checkpoints import load_checkpoint
from checkpoints.schema import check_config
from diffusion import (
    Diffusion,
    learned_schedule,
    learned_times,
    make_diffusion,
    make_schedule,
    parts_of_cosine,
)
from models import load_model
from names import PARTS
from plots.schedules import save_moves
from sampling import restore
from sampling.trained import with_guide
from system.distributed import Group
from system.errors import InputError
from train import make_trainer, parse_arguments, train
from training.learned_schedule import EVENLY, EVERY, WIDTHS, LearnedSchedule, slope_of_squares

ALONE = Group()
POINTS = "--dataset moons --num_points 640 --batch_size 64 --hidden_size 16 --schedule learned"
IMAGES = "--dataset digits --subset 320 --batch_size 32 --base_channels 8 --schedule learned"
IMAGES += " --precision fp32 --compile off --num_samples 4"


# ------------------------------------------------------------------------------- the table


def test_what_has_learned_nothing_is_cosine():
    cosine, learned = make_schedule("cosine"), make_schedule("learned")
    assert torch.allclose(learned.alphas, cosine.alphas, rtol=1e-9, atol=1e-12)
    assert torch.allclose(learned.sigmas, cosine.sigmas, rtol=1e-9)
    evenly = learned_schedule(1000, [3.0] * PARTS)
    assert torch.allclose(evenly.alphas, cosine.alphas, rtol=1e-9, atol=1e-12)


def test_the_density_says_how_many_timesteps_each_part_has():
    density = np.linspace(0.2, 1.8, PARTS)
    times = learned_times(20_001, density)
    ends = parts_of_cosine(PARTS)
    counts, _ = np.histogram(times, ends)
    share = density * np.diff(ends)
    assert counts == pytest.approx(20_000 * share / share.sum(), abs=2)
    for timesteps in (2, 7, 1000):
        schedule, cosine = learned_schedule(timesteps, density), make_schedule("cosine")
        assert len(schedule) == timesteps
        for end in (0, -1):
            assert schedule.half_log_snr[end].item() == pytest.approx(cosine.half_log_snr[end])
    with pytest.raises(ValueError, match="positive"):
        learned_schedule(10, [1.0, 0.0])


# ------------------------------------------------------------------------ what moves it


def learner(kind, prediction="v", timesteps=1000, weighting="uniform", group=ALONE):
    diffusion = Diffusion(make_schedule("learned", timesteps), prediction, weighting=weighting)
    return LearnedSchedule(diffusion, [], {"kind": kind}, group)


def teach(learned, error_of_x0, steps=5 * EVERY, count=512, seed=0):
    """Steps of a network whose squared error of x_0 is a known function of the schedule."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        diffusion = learned.diffusion
        t = diffusion.draw_timesteps(count, generator)
        schedule = diffusion.schedule
        b = {"x0": torch.ones(len(schedule)), "v": 1 / schedule.sigmas**2}[diffusion.prediction]
        losses = diffusion.weights * b * error_of_x0(schedule)
        learned.record(t, losses.float()[t])


def error_of_normal(schedule, spread=0.1):
    """Of normal data with that standard deviation: their variance, given x_t."""
    return 1 / (spread**-2 + schedule.noise_levels**-2)


@pytest.mark.parametrize(
    ("prediction", "weighting"), [("v", "uniform"), ("x0", "inverse_sigma"), ("v", "min_snr")]
)
def test_of_points_every_timestep_adds_as_much_to_the_entropy(prediction, weighting, monkeypatch):
    monkeypatch.setattr(training.learned_schedule, "EVENLY", 1e-3)
    learned = learner("points", prediction, 2000, weighting)
    teach(learned, error_of_normal)
    # The entropy of x_0, given x_t, is the logarithm of its spread.
    found, before = (
        added_by_stretches(error_of_normal(schedule).log() / 2)
        for schedule in (learned.diffusion.schedule, make_schedule("cosine", 2000))
    )
    assert found.std() < 0.12 * found.mean()
    assert before.std() > 0.5 * before.mean()


def added_by_stretches(unknown):
    """What is unknown at each timestep (2000,), as the amount added by each of 22 ranges."""
    return unknown.diff()[:1980].view(22, 90).sum(1)


def test_of_images_every_timestep_adds_as_much_to_the_squared_error(monkeypatch):
    monkeypatch.setattr(training.learned_schedule, "EVENLY", 1e-3)
    monkeypatch.setattr(training.learned_schedule, "NEAR", (0, 0, 1, 0, 0))
    learned = learner("images", "x0", 2000, "inverse_sigma")

    def error(schedule):
        return error_of_normal(schedule, spread=1.0)

    teach(learned, error)
    found, before = (
        added_by_stretches(error(schedule))
        for schedule in (learned.diffusion.schedule, make_schedule("cosine", 2000))
    )
    assert found.std() < 0.03 * found.mean()
    assert before.std() > 0.35 * before.mean()


def test_a_share_stays_spread_evenly():
    learned = learner("points")
    teach(learned, error_of_normal)
    assert (learned.density.numpy() * WIDTHS).sum() == pytest.approx(1)
    assert EVENLY < learned.density.min() < 1.1 * EVENLY
    assert learned.density.max() > 2


def test_slopes_are_smoothed_and_never_negative():
    middles = (parts_of_cosine(PARTS)[1:] + parts_of_cosine(PARTS)[:-1]) / 2
    slope = slope_of_squares(np.minimum(3 * middles, 4 - 5 * middles))
    assert slope[:20] == pytest.approx(3)
    assert slope[-3:] == pytest.approx(0)
    assert (slope >= 0).all()


def test_parts_without_a_timestep_take_what_their_neighbours_have():
    learned = learner("points", timesteps=4)
    teach(learned, error_of_normal, steps=EVERY)
    assert (learned.sums[1] > 0).sum() <= 4
    assert np.ptp(learned.density.numpy()) > 1
    assert bool((learned.density > EVENLY).all())


def test_losses_that_are_not_finite_move_nothing():
    learned = learner("points")
    before = learned.density
    teach(learned, lambda schedule: schedule.sigmas * torch.nan)
    assert learned.density is before


class Other(Group):
    """Keeps what this process would exchange."""

    said: Tensor

    def mean(self, values):
        object.__setattr__(self, "said", values)
        return values


class This(Group):
    """Exchanges with one other process."""

    other: Other

    def mean(self, values):
        return (values + self.other.said) / 2


def test_several_processes_learn_what_one_would():
    this, other = This(), Other()
    object.__setattr__(this, "other", other)
    whole = learner("points")
    first, second = learner("points", group=other), learner("points", group=this)
    for _ in range(3):
        t, losses = torch.randint(1000, (64,)), torch.rand(64)
        whole.record(t, losses)
        first.record(t[:32], losses[:32])
        second.record(t[32:], losses[32:])
    assert torch.allclose(2 * second.sums, whole.sums)


@pytest.mark.parametrize("kind", ["points", "images"])
def test_estimates_that_are_worse_than_none_count_as_none(kind):
    found = []
    for level in (1.0, 1e9):
        learned = learner(kind)
        errors = torch.where(learned.parts < 30, learned.parts / PARTS, level)
        learned.record(torch.arange(1000), errors / learned.scales)
        learned.move()
        found.append(learned.density)
    assert torch.equal(*found)
    assert np.ptp(found[0].numpy()) > 0.5


# ------------------------------------------------------------------------------------ runs


def run_in(folder, options):
    args = parse_arguments(f"{options} --output_dir {folder}".split())
    train(args, ALONE)
    return load_checkpoint(folder / "model_final.pt")


@pytest.mark.parametrize("options", [POINTS, IMAGES])
def test_a_run_moves_its_schedule_and_goes_on_bit_for_bit(options, tmp_path, monkeypatch):
    figures = record_figures(monkeypatch)
    options += " --lr_schedule constant --save_interval 2"
    whole = run_in(tmp_path / "whole", f"{options} --epochs 4")
    left, right = figures["learned_schedule"].axes
    assert len(left.lines) == 1 + len(right.patches) == 1 + 4
    run_in(tmp_path / "parts", f"{options} --epochs 2")
    folder = tmp_path / "parts"
    parts = run_in(folder, "--resume --epochs 4")
    for name in ("model", "ema"):
        assert all(torch.equal(x, parts[name][key]) for key, x in whole[name].items())
    density = whole["config"]["timestep_density"]
    assert parts["config"]["timestep_density"] == density
    assert np.ptp(density) > 0.3
    last = [x / "checkpoints" / "model_epoch_004.pt" for x in (tmp_path / "whole", folder)]
    one, two = (load_checkpoint(path)["training"]["schedule"] for path in last)
    assert torch.equal(one["path"], two["path"])
    assert one["path"].shape == (4, PARTS)
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["timestep_density"] == density
    # What samples is what was trained: its noise levels are those that the last step saw.
    trained = restore(folder / "model_final.pt", torch.device("cpu"))
    expected = learned_schedule(whole["config"]["timesteps"], density)
    assert torch.equal(trained.diffusion.schedule.alphas, expected.alphas)


def test_a_compiled_loss_may_look_into_tables_that_then_move(tmp_path, monkeypatch):
    """The backward pass may keep the tables themselves, if they are small."""
    monkeypatch.setattr(training.learned_schedule, "EVERY", 1)
    options = f"{POINTS} --batch_size 300 --timesteps 50 --output_dir {tmp_path}"
    trainer, other = (make_trainer(parse_arguments(options.split())) for _ in range(2))
    compiled = {"backend": "aot_eager_decomp_partition", "dynamic": False}
    trainer.loss = torch.compile(trainer.loss, **compiled)
    for one in (trainer, other):
        torch.manual_seed(0)
        for batch in one.run.batches.of_epoch():
            one.step(batch, 1e-3)
    pairs = zip(trainer.run.model.parameters(), other.run.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)
    assert torch.allclose(trainer.run.learned.density, other.run.learned.density, rtol=1e-2)


def test_a_guide_whose_schedule_stands_elsewhere_is_refused(tmp_path):
    run_in(tmp_path, f"{POINTS} --class_conditional --epochs 3 --save_interval 1")
    trained = restore(tmp_path / "model_final.pt", torch.device("cpu"))
    with_guide(trained, tmp_path / "checkpoints" / "model_epoch_003.pt")
    with pytest.raises(InputError, match="its timestep_density is"):
        with_guide(trained, tmp_path / "checkpoints" / "model_epoch_001.pt")


def test_embeddings_of_noise_levels_follow(tmp_path):
    options = f"{POINTS} --time_embedding log_sigma --epochs 3 --output_dir {tmp_path}"
    trainer = make_trainer(parse_arguments(options.split()))
    trainer.train()
    stored = load_model(load_checkpoint(tmp_path / "model_final.pt")).time.noise_level
    for network in (trainer.run.model, trainer.run.ema.model):
        assert torch.equal(network.time.noise_level, stored)
    assert not torch.allclose(stored, -make_schedule("learned", 200).half_log_snr.float() / 2)


def test_tuning_keeps_what_was_learned(tmp_path):
    base = run_in(tmp_path, f"{POINTS} --epochs 3")
    tuned = run_in(
        tmp_path / "few",
        f"--consistency {tmp_path / 'model_final.pt'} --epochs 2 --save_interval 1",
    )
    density = base["config"]["timestep_density"]
    assert tuned["config"]["timestep_density"] == density != [1.0] * PARTS
    again = run_in(tmp_path / "few", "--resume --epochs 3")
    assert again["config"]["timestep_density"] == density
    assert len(make_diffusion(again["config"]).schedule) == 200


def test_the_picture_shows_the_first_and_the_last_epoch(tmp_path, monkeypatch):
    figures = record_figures(monkeypatch)
    densities = torch.linspace(0.5, 1.5, PARTS).repeat(30, 1)
    save_moves(densities, tmp_path / "moves.png")
    left, right = figures["moves"].axes
    labels = [line.get_label() for line in left.lines]
    assert (labels[1], labels[-1]) == ("after epoch 1", "after epoch 30")
    assert len(labels) == 9
    assert right.patches[-1].get_data().values == pytest.approx(densities[-1].numpy())


@pytest.mark.parametrize("density", [None, [1.0] * 49, [1.0] * 49 + [0.0], [1.0] * 49 + ["1"]])
def test_a_density_that_cannot_be_is_refused(density, tmp_path):
    config = make_trainer(parse_arguments(f"{POINTS} --output_dir {tmp_path}".split())).run.config
    check_config(config)
    with pytest.raises(ValueError, match="timestep_density"):
        check_config({**config, "timestep_density": density})


def test_what_cannot_be_learned_with_is_refused(tmp_path):
    says = refuse("train.py", *POINTS.split(), "--objective", "shortcut", cwd=tmp_path)
    assert "--schedule learned is not possible with --objective shortcut" in says
    assert parse_arguments(IMAGES.split()).timestep_sampling == "uniform"
    chosen = parse_arguments([*IMAGES.split(), "--timestep_sampling", "logit_normal"])
    assert chosen.timestep_sampling == "logit_normal"
