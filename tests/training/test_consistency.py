"""Consistency tuning, against formulas and Gaussian data, and as a run."""

import json
import math
from dataclasses import replace

import pytest
import torch
from scripts import refuse, succeed
from test_resume import assert_same_end
from torch._dynamo.utils import counters

import train
from diffusion import CLEAN, Diffusion, make_schedule
from names import SCHEDULES
from samplers import MOST_NOISE
from system.errors import InputError
from system.precision import in_precision
from training.loss import make_teacher
from training.objectives.consistency import (
    AT_THE_FIRST,
    DATA_BELOW,
    FIRST_STAGE,
    FLOOR,
    HUBER,
    LAST_STAGE,
    Stages,
    consistency,
    earlier_levels,
    pseudo_huber,
)
from training.objectives.denoising import denoising

STAGES = range(FIRST_STAGE, LAST_STAGE + 1)


def process(name="cosine", timesteps=1000, prediction="x0"):
    return Diffusion(make_schedule(name, timesteps), prediction)


def affine(x, t):
    """A network whose output depends on t."""
    return 0.3 * x + 0.001 * t.view(-1, 1) - 0.2


# ------------------------------------------------------------------------------- the formulas


@pytest.mark.parametrize("level", [0.01, 0.3, 1.0, 7.0, 80.0])
@pytest.mark.parametrize("stage", STAGES)
def test_the_ratios_are_those_of_geng_et_al(level, stage):
    ratio = 1 - (1 + 8 / (1 + math.exp(level))) / 2 ** (stage + 1)
    expected = level * max(0, ratio)
    found = earlier_levels(torch.tensor([level], dtype=torch.float64), stage).item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_first_stage_learns_from_afar_and_the_last_from_the_neighbourhood():
    levels = torch.logspace(-2, 1.9, 50, dtype=torch.float64)
    assert not earlier_levels(levels, FIRST_STAGE)[levels < 0.5].any()
    assert (earlier_levels(levels, FIRST_STAGE) / levels).max() < 0.76
    assert (earlier_levels(levels, LAST_STAGE) / levels).min() > 0.9


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_tables_hold_the_nearest_earlier_timestep_and_the_weight_of_the_pair(
    name, stage, prediction
):
    diffusion = process(name, 200, prediction)
    stages = Stages(diffusion)
    stages.begin(stage)
    levels = (diffusion.schedule.sigmas / diffusion.schedule.alphas).tolist()
    last = max(t for t, level in enumerate(levels) if level <= MOST_NOISE)
    assert stages.first == last
    for t in range(0, last + 1, 7):
        wanted = levels[t] * max(0, 1 - (1 + 8 / (1 + math.exp(levels[t]))) / 2 ** (stage + 1))
        r = stages.earlier[t].item()
        if wanted < (DATA_BELOW if prediction == "x0" else levels[0] / 2) or t == 0:
            assert r == CLEAN
        else:
            assert r == min(range(t), key=lambda s: abs(levels[s] - wanted))
        level = 0 if r == CLEAN else levels[r]
        assert stages.weights[t].item() == pytest.approx(1 / (levels[t] - level + FLOOR), rel=1e-5)


def test_the_stages_are_of_equal_length():
    stages = Stages(process())
    found, steps = [], 100 * len(STAGES)
    for step in range(-1, steps):
        stages.advance(step / steps)
        found.append(stages.stage)
    assert found[1:] == [FIRST_STAGE + step // 100 for step in range(steps)]
    assert found[0] == FIRST_STAGE
    stages.advance(1.0)
    assert stages.stage == LAST_STAGE


def test_the_tables_stay_where_they_are():
    """A compiled loss reads the tables in place."""
    stages = Stages(process())
    before = stages.earlier.data_ptr(), stages.weights.data_ptr(), stages.earlier.clone()
    stages.advance(0.9)
    assert before[:2] == (stages.earlier.data_ptr(), stages.weights.data_ptr())
    assert not torch.equal(before[2], stages.earlier)


def test_levels_are_log_normal_but_for_a_share_at_the_noisiest():
    diffusion = process()
    stages = Stages(diffusion)
    drawn = stages.draw_timesteps(200_000, torch.Generator().manual_seed(0))
    assert drawn.max().item() == stages.first
    logs = diffusion.schedule.noise_levels[drawn].log()
    # Two in a thousand of the normal ones are past the noisiest level, too.
    past = 0.5 * math.erfc(math.log(75) / 1.5 / math.sqrt(2))
    share = AT_THE_FIRST + (1 - AT_THE_FIRST) * past
    assert (drawn == stages.first).double().mean().item() == pytest.approx(share, rel=0.05)
    quantiles = logs[drawn != stages.first].quantile(torch.tensor([0.16, 0.5, 0.84]).double())
    assert quantiles.tolist() == pytest.approx([-1.5, 0, 1.5], abs=0.04)


def test_pseudo_huber_is_a_square_near_zero_and_a_length_far_off():
    direction = torch.randn(1, 4, 5, dtype=torch.float64)
    direction /= direction.norm()
    small, large = (pseudo_huber(length * HUBER * direction).item() for length in (1e-2, 1e3))
    assert small == pytest.approx(1e-4 * HUBER / 2 / math.sqrt(20), rel=1e-4)
    assert large == pytest.approx(1e3 * HUBER / math.sqrt(20), rel=2e-3)
    assert pseudo_huber(torch.randn(7, 1, 3, 2)).shape == (7,)


# ------------------------------------------------------------------------------- the objective


@pytest.mark.parametrize("name", ["cosine", "log_linear", "flow"])
def test_with_the_data_as_every_target_it_is_denoising_to_the_bit(name):
    diffusion = process(name)
    stages = Stages(diffusion, distance=torch.square)
    stages.earlier.fill_(CLEAN)
    diffusion.weights.copy_(stages.weights)
    weight = torch.tensor(0.3, requires_grad=True)

    def model(x, t):
        return weight * x + 0.001 * t.view(-1, 1)

    torch.manual_seed(0)
    t, x0, eps = stages.draw_timesteps(64), torch.randn(64, 5), torch.randn(64, 5)
    loss = consistency(diffusion, model, x0, t, eps, stages).mean()
    ordinary = denoising(diffusion, model, x0, t, eps).mean()
    assert torch.equal(loss, ordinary)
    assert torch.equal(*(torch.autograd.grad(one, weight)[0] for one in (loss, ordinary)))


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("name", ["cosine", "log_linear", "flow"])
def test_the_loss_is_that_of_the_two_answers_on_one_path(name, prediction):
    diffusion = process(name, prediction=prediction)
    stages = Stages(diffusion)
    stages.begin(3)
    schedule, denoise = diffusion.schedule, diffusion.denoiser(affine)
    torch.manual_seed(0)
    t, x0, eps = stages.draw_timesteps(32), torch.randn(32, 5), torch.randn(32, 5)
    total = 0.0
    for i in range(32):
        answers = []
        for s in (t[i].item(), stages.earlier[t[i]].item()):
            alpha, sigma = schedule.at(s)
            x = alpha * x0[i : i + 1] + sigma * eps[i : i + 1]
            answers.append(x if s == CLEAN else denoise(x, s)[0])
        distance = math.hypot((answers[0] - answers[1]).norm().item(), HUBER) - HUBER
        total += stages.weights[t[i]].item() * distance / math.sqrt(5) / 32
    found = consistency(diffusion, affine, x0, t, eps, stages).mean()
    assert found.item() == pytest.approx(total, rel=1e-4)


def test_tuning_leads_a_linear_network_to_the_consistency_function_of_a_gaussian():
    """y = x / alpha moves along y - m ~ sqrt(v + (sigma / alpha)^2), so that its path ends at
    m + sqrt(v / (v + (sigma / alpha)^2)) (y - m). The best estimate of x_0 has the square of
    that root in its place, and is where tuning begins."""
    mean, variance, timesteps = 0.7, 0.5, 80
    diffusion = Diffusion(make_schedule("log_linear", timesteps, sigma_min=0.05), "x0")
    levels = diffusion.schedule.noise_levels
    best = variance / (variance + levels**2)
    spread = (1 + levels**2).sqrt()  # the network sees x / spread
    slope = (best * spread).float().requires_grad_()
    offset = (mean * (1 - best)).float().requires_grad_()

    def model(x, t):
        return slope[t].view(-1, 1) * x + offset[t].view(-1, 1)

    stages = Stages(diffusion, distance=torch.square)
    torch.manual_seed(0)
    steps = 3000
    adam = torch.optim.Adam([slope, offset], lr=2e-2)
    for step in range(steps):
        progress = step / steps
        stages.advance(3 * progress)
        adam.param_groups[0]["lr"] = 2e-2 * (1 - progress)
        x0 = mean + math.sqrt(variance) * torch.randn(8192, 1)
        t = torch.randint(timesteps, (8192,))
        loss = consistency(diffusion, model, x0, t, torch.randn(8192, 1), stages).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    learned = (slope.detach() / spread).double()
    # What is left of the path in pairs: the regression of y_r on y_t, from pair to pair.
    in_pairs = best.clone()
    for t, r in enumerate(stages.earlier.tolist()):
        if r != CLEAN:
            covariance = variance + levels[r] * levels[t]
            in_pairs[t] = in_pairs[r] * covariance / (variance + levels[t] ** 2)
    for t in (20, 40, 60, 79):
        root = in_pairs[t].item()
        assert learned[t].item() == pytest.approx(root, rel=0.03), t
        assert offset[t].item() == pytest.approx(mean * (1 - root), rel=0.03, abs=0.01), t
    assert in_pairs.tolist() == pytest.approx(best.sqrt().tolist(), rel=0.07)
    assert best[79] < 0.1 * best[79].sqrt()  # which is far from where it began


def test_a_teacher_gives_the_path_and_the_data_at_its_end():
    diffusion = process()
    stages = Stages(diffusion)

    def teacher(x, t):
        return 0.25 * x

    torch.manual_seed(0)
    t, x0, eps = stages.draw_timesteps(16), torch.randn(16, 2), torch.randn(16, 2)
    x = diffusion.add_noise(x0, t, eps)
    total = 0.0
    for i in range(16):
        # One step of ddim by the teacher, and there the answer of the network that learns.
        taught, noise = diffusion.denoiser(teacher)(x[i : i + 1], t[i].item())
        r = stages.earlier[t[i]].item()
        alpha, sigma = diffusion.schedule.at(r)
        there = alpha * taught + sigma * noise
        target = there if r == CLEAN else diffusion.denoiser(affine)(there, r)[0]
        answer, _ = diffusion.denoiser(affine)(x[i : i + 1], t[i].item())
        distance = math.hypot((answer - target).norm().item(), HUBER) - HUBER
        total += stages.weights[t[i]].item() * distance / math.sqrt(2) / 16
    found = consistency(diffusion, affine, x0, t, eps, stages, teacher).mean()
    assert found.item() == pytest.approx(total, rel=1e-3)


def test_the_teacher_of_a_run_is_guided_by_the_labels_of_the_batch(models):
    path = models / "images" / "model_final.pt"
    command = ["--consistency", str(path), "--precision", "fp32"]
    run = train.make_trainer(train.parse_arguments(command)).run
    x, t = torch.randn(4, *run.units.shape), torch.tensor([700, 300, 10, 999])
    labels = torch.tensor([1, 2, 10, 3])  # 10 is none
    for weight in run.teacher.parameters():  # many begin as zeros
        torch.nn.init.normal_(weight, std=0.1)

    def answers(guidance):
        run.settings = replace(run.settings, guidance=guidance)
        return make_teacher(run)(labels)(x, t)

    network = in_precision(run.teacher, run.precision, run.device)
    with_class, without = network(x, t, labels), network(x, t)
    assert torch.allclose(answers(None), with_class)
    assert torch.allclose(answers(2.5), 2.5 * with_class - 1.5 * without, atol=1e-3)
    assert torch.allclose(answers(2.5)[2], without[2], atol=1e-3)
    assert (answers(2.5) - with_class)[:2].abs().max() > 1e-2


@pytest.mark.parametrize(
    "options",
    [("linear", {"beta_end": 1e-4}), ("log_linear", {"sigma_min": 90.0, "sigma_max": 900.0})],
)
def test_a_schedule_without_levels_to_learn_from_is_refused(options):
    name, ends = options
    diffusion = Diffusion(make_schedule(name, 1000, **ends), "x0")
    with pytest.raises(InputError, match=r"^--consistency: "):
        Stages(diffusion)


# ------------------------------------------------------------------------------- a run

IMAGES = "--dataset digits --subset 400 --base_channels 8 --batch_size 40 --num_samples 4"
EXACT = "--precision fp32 --compile off --class_conditional --save_interval 1"
POINTS = "--dataset moons --num_points 2000 --hidden_size 16 --batch_size 100 --save_interval 1"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with barely trained models of images and of points."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in (("images", f"{IMAGES} {EXACT}"), ("points", POINTS)):
        command = (*options.split(), "--epochs", 1, "--output_dir", folder / name)
        succeed("train.py", *command, cwd=folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("images", ()),
        ("images", ("--guidance", 2)),
        ("images", ("--no_teacher",)),
        ("points", ()),
        ("points", ("--no_teacher",)),
    ],
)
def test_a_tuned_run_goes_on_to_the_same_end(kind, options, models, tmp_path):
    whole, parts = tmp_path / "whole" / "outputs", tmp_path / "parts" / "outputs"
    start = ("--consistency", models / kind / "model_final.pt", *options, "--epochs", 3)
    intervals = ("--sample_interval", 3, "--save_interval", 1)
    out = succeed("train.py", *start, *intervals, "--output_dir", whole, cwd=tmp_path)
    assert "tuned for few steps" in out
    middle = whole / "checkpoints" / "model_epoch_001.pt"
    succeed("train.py", "--resume", middle, "--output_dir", parts, cwd=tmp_path)
    assert_same_end(whole.parent, parts.parent)
    names = {path.name for path in (parts / "samples").iterdir()}
    assert names == {"epoch_003.png", "epoch_003_one_step.png"}
    config = json.loads((parts / "config.json").read_text())
    assert config["objective"] == "consistency"
    assert config["guidance"] == (2 if "--guidance" in options else None)
    assert config["no_teacher"] == ("--no_teacher" in options)


def test_it_begins_with_the_averaged_weights_in_a_folder_beside_the_model(models):
    path = models / "images" / "model_final.pt"
    before = torch.load(path, weights_only=True)["ema"]
    args = train.parse_arguments(["--consistency", str(path), "--guidance", "1.5"])
    assert args.output_dir == models / "images" / "consistency"
    run = train.make_trainer(args).run
    for network in (run.model, run.ema.model, run.teacher):
        after = network.state_dict()
        assert all(torch.equal(after[name], weight) for name, weight in before.items())
    args = train.parse_arguments(
        ["--consistency", str(models / "points" / "checkpoints" / "model_epoch_001.pt")]
    )
    assert args.output_dir == models / "points" / "consistency"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--consistency images/model_final.pt --schedule linear", "--schedule cannot change"),
        ("--consistency images/model_final.pt --dataset dino", "--dataset cannot change"),
        ("--consistency points/model_final.pt --seed 5", "--seed cannot change"),
        ("--consistency images/model_final.pt --prediction v", "--prediction cannot change"),
        ("--consistency images/model_final.pt --objective denoising", "cannot go with"),
        ("--consistency points/model_final.pt --guidance 2", "--guidance needs a model trained"),
        ("--consistency images/model_final.pt --resume", "not --resume too"),
        ("--consistency images/model_final.pt --config images/config.json", "not --config too"),
        ("--consistency nothing.pt", "no checkpoint at nothing.pt"),
        ("--objective consistency", "needs a trained model"),
        ("--dataset digits --guidance 2", "--guidance belongs to --consistency"),
        ("--dataset digits --no_teacher", "--no_teacher belongs to --consistency"),
        ("--consistency images/model_final.pt --guidance 2 --no_teacher", "needs the teacher"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(options, says, models, monkeypatch):
    monkeypatch.chdir(models)
    with pytest.raises(InputError, match=says):
        train.parse_arguments(options.split())


def test_eps_and_tuned_models_and_other_data_are_refused(models, tmp_path, monkeypatch):
    command = (*POINTS.split(), "--prediction", "eps", "--epochs", 1)
    succeed("train.py", *command, "--output_dir", "eps", cwd=tmp_path)
    assert "multiplies" in refuse("train.py", "--consistency", "eps/model_final.pt", cwd=tmp_path)
    command = ("--consistency", models / "points" / "model_final.pt", "--epochs", 1)
    succeed("train.py", *command, "--output_dir", "tuned", cwd=tmp_path)
    again = refuse("train.py", "--consistency", "tuned/model_final.pt", cwd=tmp_path)
    assert "tuned already" in again
    assert "cannot change" in refuse(
        "train.py", "--resume", "--output_dir", "tuned", "--objective", "denoising", cwd=tmp_path
    )
    checkpoint = torch.load(models / "points" / "model_final.pt", weights_only=True)
    checkpoint["config"]["mean"] = [3.0, 4.0]
    torch.save(checkpoint, tmp_path / "other.pt")
    assert "differ from those of other.pt in mean" in refuse(
        "train.py", "--consistency", "other.pt", cwd=tmp_path
    )


def test_exported_weights_are_refused(models, tmp_path):
    pytest.importorskip("safetensors")
    export = ("--checkpoint", models / "images" / "model_final.pt", "--export", "x.safetensors")
    succeed("sample.py", *export, cwd=tmp_path)
    assert "exported" in refuse("train.py", "--consistency", "x.safetensors", cwd=tmp_path)


@pytest.mark.slow
def test_a_compiled_loss_sees_every_stage(models, tmp_path):
    """One graph for all of them, and the same losses."""
    torch._dynamo.reset()
    counters.clear()
    found = {}
    for compile in ("on", "off"):
        command = ("--consistency", models / "points" / "model_final.pt", "--epochs", 1)
        options = ("--compile", compile, "--output_dir", tmp_path / compile)
        trainer = train.make_trainer(train.parse_arguments(list(map(str, (*command, *options)))))
        trainer.train()
        found[compile] = trainer.run.history.state()[:, 2]
        assert trainer.run.stages.stage == LAST_STAGE
        assert counters["stats"]["unique_graphs"] == 1
    assert len(found["on"]) == 20
    assert torch.allclose(found["on"], found["off"], rtol=0.02)
