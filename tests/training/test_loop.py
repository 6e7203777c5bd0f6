"""The training loop, in this process: compiled against eager, and one graph for a whole run."""

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from tqdm import tqdm

import train
import training.loss
from guidance import cycle_labels
from names import LOSS_WEIGHTINGS, PREDICTIONS, SCHEDULES
from plots.pictures import make_pictures
from samplers import ddim, ddpm, dpmpp, final, heun, trailing_timesteps
from sampling import SampleSettings, Trained, generate
from sampling.denoising import prepare_network
from system.errors import InputError
from training.objectives import OBJECTIVES
from training.record import BAR, Record

RUN = "--dataset digits --subset 70 --batch_size 32 --epochs 3 --base_channels 8 --num_samples 4"


def weights_after(options: str, folder) -> torch.Tensor:
    args = train.parse_arguments(f"{RUN} {options} --output_dir {folder}".split())
    trainer = train.make_trainer(args)
    trainer.train()
    return torch.cat([one.detach().flatten() for one in trainer.run.model.parameters()])


def test_compiling_does_not_change_the_random_numbers_of_a_run(tmp_path, monkeypatch):
    """Its trial has a dropout, too; without this, a resumed run would have other masks."""
    options = f"{RUN} --dropout 0.2 --compile on --output_dir {tmp_path}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    drawn = []

    def compile_eagerly(loss, trial, device):
        before = torch.get_rng_state()
        trial(loss)
        drawn.append(not torch.get_rng_state().equal(before))
        return loss

    monkeypatch.setattr(training.loss, "reason_not_to_compile", lambda *_: "")
    monkeypatch.setattr(training.loss, "compile_or_fall_back", compile_eagerly)
    before = torch.get_rng_state()
    training.loss.compiled_if_worthwhile(trainer.loss, trainer.run)
    assert drawn == [True]
    assert torch.get_rng_state().equal(before)


@pytest.mark.slow
def test_a_compiled_run_has_one_graph_and_learns_the_same(tmp_path):
    torch._dynamo.reset()
    counters.clear()
    compiled = weights_after("--compile on --precision fp32", tmp_path)
    # Three epochs with samples between them, which switch gradients off and on again.
    assert counters["stats"]["unique_graphs"] == 1
    assert counters["recompile_limit"] == {}
    eager = weights_after("--compile off --precision fp32", tmp_path)
    assert counters["stats"]["unique_graphs"] == 1
    initial = weights_after("--compile off --precision fp32 --lr 1e-12", tmp_path)
    # Adam turns rounding errors of tiny gradients into whole steps, so single weights may differ.
    assert (compiled - eager).norm() < 0.02 * (eager - initial).norm()


def test_bf16_learns_almost_the_same(tmp_path):
    exact, rounded, initial = (
        weights_after(options, tmp_path)
        for options in ("--precision fp32", "--precision bf16", "--precision fp32 --lr 1e-12")
    )
    similarity = torch.cosine_similarity(exact - initial, rounded - initial, dim=0)
    assert 0.9 < similarity < 0.99999


@pytest.mark.parametrize("weighting", LOSS_WEIGHTINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_combination_trains_and_samples_or_is_refused(
    schedule, prediction, weighting, tmp_path
):
    combination = f"--schedule {schedule} --prediction {prediction} --loss_weighting {weighting}"
    options = f"--dataset line --num_points 500 {combination} --hidden_size 16"
    command = f"{options} --output_dir {tmp_path}".split()
    if schedule == "flow" and (prediction == "eps" or weighting == "min_snr"):
        with pytest.raises(InputError, match="not possible with --schedule flow"):
            train.parse_arguments(command)
        return
    trainer = train.make_trainer(train.parse_arguments(command))
    run, every = trainer.run, torch.arange(500)
    losses = [trainer.step(run.batches.draw(every), 1e-3)[0].item() for _ in range(5)]
    assert np.isfinite(losses).all()
    schedule_table = run.diffusion.schedule
    for sampler in (ddpm, ddim, heun, dpmpp):
        x = run.diffusion.starting_noise(torch.randn(50, 2))
        denoise = run.diffusion.denoiser(run.model)
        samples = final(sampler(denoise, x, schedule_table, trailing_timesteps(200, 5)))
        assert bool(samples.isfinite().all())
        assert samples.std() > 0


@pytest.mark.parametrize(
    ("options", "weighting"),
    [
        ("--dataset digits", "inverse_sigma"),
        ("--dataset digits --prediction eps", "uniform"),
        ("--dataset digits --loss_weighting uniform", "uniform"),
        ("--dataset dino", "uniform"),
        ("--dataset dino --prediction x0", "inverse_sigma"),
    ],
)
def test_the_weights_fit_the_prediction_unless_they_are_given(options, weighting):
    assert train.parse_arguments(options.split()).loss_weighting == weighting


@pytest.mark.parametrize(("sampling", "spread"), [("uniform", 0.289), ("logit_normal", 0.183)])
def test_training_learns_from_the_timesteps_asked_for(sampling, spread, tmp_path):
    options = f"{RUN} --timestep_sampling {sampling} --output_dir {tmp_path}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    drawn = torch.cat([trainer.run.batches.draw(torch.arange(32)).t for _ in range(100)])
    # Of numbers from 0 to 1: of even ones 12 ** -0.5, of the logistic function of normal ones.
    assert (drawn / 1000).std().item() == pytest.approx(spread, rel=0.05)


def test_half_precision_scales_its_gradients(tmp_path):
    args = train.parse_arguments(f"{RUN} --precision fp16 --output_dir {tmp_path}".split())
    trainer = train.make_trainer(args)
    trainer.train()
    assert trainer.run.optimizers.scaler.is_enabled()
    assert trainer.run.weights_are_finite()


@pytest.mark.parametrize("grad_clip", [0, 1])
@pytest.mark.parametrize("owner", [0, 1], ids=("muon", "adamw"))
def test_an_infinite_gradient_leaves_out_the_step_of_all_weights(owner, grad_clip, tmp_path):
    options = f"{RUN} --precision fp16 --grad_clip {grad_clip} --output_dir {tmp_path}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    run, optimizers = trainer.run, trainer.run.optimizers
    batch, parameters = run.batches.draw(torch.arange(32)), optimizers.parameters
    trainer.step(batch, 1e-3)  # from now on there is momentum, which could move weights
    before = [parameter.detach().clone() for parameter in parameters]
    scale = optimizers.scaler.get_scale()

    weight = optimizers.all[owner].param_groups[0]["params"][0]
    hook = weight.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))
    trainer.step(batch, 1e-3)
    hook.remove()
    assert all(map(torch.equal, parameters, before))
    assert optimizers.scaler.get_scale() == scale / 2

    trainer.step(batch, 1e-3)
    assert all(bool(parameter.isfinite().all()) for parameter in parameters)
    assert not all(map(torch.equal, parameters, before))


def test_a_compiled_sampler_has_one_graph(tmp_path):
    """Three batches, the last of them padded, and guidance, by one compiled network."""
    options = f"{RUN} --class_conditional --precision fp32 --output_dir {tmp_path}"
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    run = trainer.run
    units = run.units
    for parameter in run.model.parameters():  # a new network answers zero
        torch.nn.init.normal_(parameter, std=0.05)
    settings = SampleSettings(count=20, steps=5, guidance=2.0, batch_size=8)
    torch._dynamo.reset()
    counters.clear()
    samples = {}
    for compile in ("on", "off"):
        network = run.model.eval().requires_grad_(False)
        trained = Trained(tmp_path, run.config, network, run.diffusion, units, make_pictures(units))
        trained, _ = prepare_network(trained, settings, "fp32", compile)
        samples[compile] = generate(trained, settings, cycle_labels(range(10), 20))
        assert counters["stats"]["unique_graphs"] == 1
        assert counters["recompile_limit"] == {}
    difference = (samples["on"].float() - samples["off"].float()).abs()
    assert difference.max() <= 1  # of 255: rounding


def test_the_objective_asked_for_is_what_is_minimised(tmp_path, monkeypatch):
    """A new network outputs zero, so its error is the data themselves."""
    args = train.parse_arguments(f"{RUN} --objective denoising --output_dir {tmp_path}".split())
    trainer = train.make_trainer(args)
    batch = trainer.run.batches.draw(torch.arange(32))
    x0 = trainer.run.units.to_model(batch.examples)
    weighted = (trainer.run.diffusion.weights[batch.t][:, None, None, None] * x0.square()).mean()
    assert trainer.loss(*batch).mean().item() == pytest.approx(weighted.item(), rel=1e-4)

    def plain(diffusion, model, x0, t, eps):
        return (model(x0, t) - x0).square().flatten(1).mean(1)

    monkeypatch.setitem(OBJECTIVES, "denoising", plain)
    other = train.make_trainer(args)
    assert other.loss(*batch).mean().item() == pytest.approx(x0.square().mean().item(), rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "says"), [(100.0, "about 4 minutes to go, at 100 points/s"), (1e6, "")]
)
def test_a_long_run_says_how_long_it_will_take(rate, says, tmp_path, capsys):
    options = (
        f"--dataset line --num_points 1000 --batch_size 100 --epochs 25 --output_dir {tmp_path}"
    )
    trainer = train.make_trainer(train.parse_arguments(options.split()))
    trainer.run.epoch = 2  # 24 epochs of 1,000 points are left
    with trainer.record as record:
        record.say_how_long(rate)
    assert capsys.readouterr().out.strip() == says


def test_it_says_so_once_when_the_pace_is_known(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Record, "say_how_long", lambda _, rate: said.append(rate))
    options = f"--dataset line --num_points 1000 --batch_size 10 --epochs 1 --output_dir {tmp_path}"
    train.make_trainer(train.parse_arguments(options.split())).train()
    assert len(said) == 1
    assert said[0] > 0


def test_the_bar_shows_everything_in_60_columns():
    shown = tqdm.format_meter(
        1_130_000,
        1_200_000,
        3600,
        ncols=60,
        prefix="epoch 20/20",
        unit="",
        unit_scale=True,
        bar_format=BAR,
        postfix="loss 0.1234",
    )
    assert len(shown) <= 60
    assert shown.startswith("epoch 20/20 94%|")
    assert shown.endswith("| 1.13M/1.20M [03:43, 314/s, loss 0.1234]")
