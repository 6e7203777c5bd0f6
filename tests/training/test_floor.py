"""floor.py: the least loss that any network can have."""

import math

import pytest
import torch
from studio import IMAGES

import train
from diffusion import Diffusion, NoiseSchedule, make_schedule
from guidance import Conditioned
from training.batches import Batch
from training.floor import draw_batch, exact_network, least_loss
from training.objectives.denoising import denoising

SMALL = "--dataset moons --num_points 1000 --hidden_size 32 --batch_size 250".split()


def make_run(*options, folder="outputs"):
    args = ["--device", "cpu", "--output_dir", str(folder), *map(str, options)]
    return train.make_trainer(train.parse_arguments(args)).run


def loss_of(network, diffusion, x0, t, eps, labels=None):
    return denoising(diffusion, Conditioned(network, labels), x0, t, eps)


@pytest.mark.parametrize("weighting", ["uniform", "inverse_sigma", "min_snr"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_of_a_gaussian_it_is_the_posterior_variance(prediction, weighting):
    """x_0 ~ N(0, s^2) has the variance s^2 sigma^2 / (alpha^2 s^2 + sigma^2), given x_t."""
    spread, angles = 1.5, torch.tensor([0.4, 0.8, 1.2], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    data = spread * torch.randn(8000, 2, generator=random)
    alphas, sigmas = angles.cos(), angles.sin()
    schedule = NoiseSchedule(alphas, sigmas)
    diffusion = Diffusion(schedule, prediction, weighting=weighting)
    exact = exact_network(data, torch.zeros(len(data)), 0, diffusion)
    for t, (alpha, sigma) in enumerate(zip(alphas.tolist(), sigmas.tolist(), strict=True)):
        variance = spread**2 * sigma**2 / (alpha**2 * spread**2 + sigma**2)
        weight = {
            "uniform": 1.0,
            "inverse_sigma": 1 / (sigma**2 + 1e-4),
            # Of the error of x_0, whatever is predicted.
            "min_snr": min(alpha**2 / sigma**2, 5)
            * {"x0": 1.0, "eps": sigma**2 / alpha**2, "v": sigma**2}[prediction],
        }[weighting]
        per_error = {"x0": 1.0, "eps": alpha**2 / sigma**2, "v": 1 / sigma**2}[prediction]
        times = torch.full((3000,), t)
        x0 = spread * torch.randn(3000, 2, generator=random)  # not those that it knows
        eps = torch.randn(3000, 2, generator=random)
        found = loss_of(exact, diffusion, x0, times, eps).mean().item()
        assert found == pytest.approx(weight * per_error * variance, rel=0.07)


@pytest.mark.parametrize("schedule", ["cosine", "flow", "log_linear"])
def test_of_two_points_it_is_an_integral(schedule):
    """At +-1 on a line: 1 - E tanh^2(alpha x / sigma^2), with x ~ N(alpha, sigma^2)."""
    diffusion = Diffusion(make_schedule(schedule, 10), "x0")
    exact = exact_network(torch.tensor([[1.0], [-1.0]]), torch.zeros(2), 0, diffusion)
    normal = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = (-normal.square() / 2).exp() / math.sqrt(2 * math.pi) * 16 / 4000
    t, x0 = torch.arange(10).repeat(4000), torch.ones(40_000, 1)
    eps = torch.randn(40_000, 1, generator=torch.Generator().manual_seed(0))
    losses = loss_of(exact, diffusion, x0, t, eps).view(4000, 10).mean(0)
    for time, loss in enumerate(losses.tolist()):
        alpha, sigma = diffusion.schedule.at(time)
        mean = (alpha * (alpha + sigma * normal) / sigma**2).tanh()
        assert loss == pytest.approx((density * (1 - mean).square()).sum().item(), abs=0.03)


def test_who_knows_the_class_knows_more():
    """Of a class of one point all is known; without its label nothing but the mean, in noise."""
    diffusion = Diffusion(NoiseSchedule(torch.tensor([0.01]), torch.tensor([1.0])), "x0")
    data, labels = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([0, 1])
    exact = exact_network(data, labels, 2, diffusion)
    x0, told = data.repeat(500, 1), labels.repeat(500)
    t, eps = torch.zeros(1000, dtype=torch.int64), torch.randn(1000, 2)
    assert loss_of(exact, diffusion, x0, t, eps, told).max() == 0
    untold = loss_of(exact, diffusion, x0, t, eps, torch.full_like(told, 2))
    assert untold.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(loss_of(exact, diffusion, x0, t, eps), untold)


@pytest.mark.parametrize("options", [(), ("--class_conditional", "--prediction", "eps")])
def test_no_trained_network_is_better(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = train.parse_arguments([*SMALL, *options, "--epochs", "150", "--sample_interval", "150"])
    trainer = train.make_trainer(args)
    untrained = [x.clone() for x in trainer.run.model.parameters()]
    trainer.train()
    run = trainer.run
    batch = draw_batch(run.batches, 20_000, torch.Generator().manual_seed(7))
    batches = run.batches
    exact = exact_network(
        run.units.to_model(batches.examples), batches.labels, batches.classes, run.diffusion
    )

    @torch.no_grad()
    def losses(network, batch: Batch):
        x0 = run.units.to_model(batch.examples)
        return loss_of(network, run.diffusion, x0, batch.t, batch.eps, batch.labels)

    best, learned = losses(exact, batch), losses(run.ema.model, batch)
    assert run.history.floor == pytest.approx(best.mean().item(), rel=0.03)  # other noise
    excess = learned - best
    error = excess.std().item() / math.sqrt(len(excess))
    assert excess.mean().item() > -3 * error
    with torch.no_grad():
        for weight, earlier in zip(run.model.parameters(), untrained, strict=True):
            weight.copy_(earlier)
    excess_before = losses(run.model, batch) - best
    assert excess.mean() < 0.5 * excess_before.mean()  # it has come nearer


def test_it_leaves_random_numbers_alone_and_is_the_same_every_time(tmp_path):
    run = make_run(*SMALL, folder=tmp_path)
    before, order = torch.get_rng_state(), run.batches.order.clone()
    floors = {least_loss(run) for _ in range(2)}
    assert len(floors) == 1
    assert 0.1 < floors.pop() < 1.5
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(run.batches.order, order)
    assert run.batches.position == 0


@pytest.mark.parametrize(
    "options",
    [
        IMAGES,
        (*SMALL, "--objective", "shortcut"),
        (*SMALL, "--schedule", "learned"),
        ("--dataset", "line", "--num_points", 200_000),
    ],
)
def test_where_it_is_not_known_there_is_none(options, tmp_path):
    assert least_loss(make_run(*options, folder=tmp_path)) is None


def test_the_curve_of_a_run_has_its_floor(tmp_path, figures):
    args = ["--output_dir", str(tmp_path), *SMALL, "--epochs", "2", "--sample_interval", "2"]
    trainer = train.make_trainer(train.parse_arguments(args))
    trainer.train()
    floor = least_loss(trainer.run)
    heights = [set(line.get_ydata()) for line in figures["training_loss"].axes[0].lines]
    assert {floor} in heights
