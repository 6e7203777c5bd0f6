"""Class labels, both kinds of guidance, and all of it from the command line."""

import argparse
import json
import math
from contextlib import nullcontext

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import assert_picture, refuse, succeed

import sample
import train
import visualize_diffusion
from datasets.shapes import make_shape
from datasets.units import ImageUnits
from diffusion import PREDICTIONS, Diffusion, make_schedule
from guidance import (
    Conditioned,
    cycle_labels,
    drop_labels,
    guided,
    guided_by,
    in_interval,
    in_proportion,
    with_examples,
)
from models.unet import UNet
from plots.pictures import make_pictures
from samplers import final, heun, trailing_timesteps
from sampling import restore
from system.errors import InputError
from visualize_diffusion import draw_process


def test_labels_are_taken_in_turn():
    assert cycle_labels([3, 5], 5).tolist() == [3, 5, 3, 5, 3]


def test_labels_in_proportion_to_the_data():
    labels = in_proportion([100, 0, 300], 40)
    assert labels.bincount(minlength=3).tolist() == [10, 0, 30]
    assert in_proportion([1, 1, 1], 100).bincount().tolist() == pytest.approx([33, 34, 33], abs=1)


def test_dropped_labels_are_those_of_no_class():
    labels = torch.arange(10).repeat(1000)
    dropped = drop_labels(labels, 10, 0.1)
    missing = dropped == 10
    assert missing.float().mean() == pytest.approx(0.1, abs=0.012)  # four standard errors
    assert torch.equal(dropped[~missing], labels[~missing])
    assert torch.equal(drop_labels(labels, 10, 0.0), labels)


def labelled_network():
    network = UNet(base_channels=8, classes=3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_a_network_without_labels_answers_for_no_class():
    network, x, t = labelled_network(), torch.randn(4, 1, 28, 28), torch.tensor([5])
    torch.testing.assert_close(network(x, t), network(x, t, torch.full((4,), 3)))
    one, other = (network(x, t, torch.full((4,), label)) for label in (0, 1))
    assert not torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guidance_is_the_formula(guidance):
    network, x, t = labelled_network(), torch.randn(4, 1, 28, 28), torch.tensor([5])
    labels = torch.tensor([0, 1, 2, 1])
    answer = guided(network, labels, 3, guidance)(x, t)
    expected = guidance * network(x, t, labels) + (1 - guidance) * network(x, t)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def test_both_answers_come_from_one_batch():
    batches = []

    def network(x, t, labels):
        batches.append(labels.tolist())
        return x

    guided(network, torch.tensor([4, 2]), 7, 3.0)(torch.zeros(2, 1), torch.tensor([0]))
    assert batches == [[4, 2, 7, 7]]
    Conditioned(network, torch.tensor([4, 2]))(torch.zeros(2, 1), torch.tensor([0]))
    assert batches[1:] == [[4, 2]]


# --------------------------------------------------------------------------- by a worse network


def exact_network(diffusion, variance: float):
    """The output of a perfect network for data from N(0, variance)."""
    schedule = diffusion.schedule

    def network(x, t):
        (alpha, sigma), (a, b) = schedule.at(int(t)), schedule.velocity_at(int(t))
        x0 = alpha * variance / (alpha**2 * variance + sigma**2) * x
        eps = (x - alpha * x0) / sigma
        return {"x0": x0, "eps": eps, "v": a * eps - b * x0}[diffusion.prediction]

    return network


def shrinkage(variance: float, r_from: float, r_to: float) -> float:
    """y(r_to) / y(r_from) of dy/dr = r y / (variance + r^2), y = x / alpha, r = sigma / alpha:
    what the probability flow makes of a state, for data N(0, variance)."""
    return math.sqrt((variance + r_to**2) / (variance + r_from**2))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("interval", [(0, 999), (400, 999), (0, 399), (300, 700)])
def test_guidance_by_a_worse_model_of_a_gaussian_in_closed_form(prediction, interval):
    """The guided flow is linear: both flows' factors, to the powers of w and 1 - w."""
    variance, worse, guidance = 0.25, 0.6, 2.5
    diffusion = Diffusion(make_schedule("cosine"), prediction)
    model, guide = (exact_network(diffusion, spread) for spread in (variance, worse))
    denoise = in_interval(
        interval,
        diffusion.denoiser(guided_by(guide, model, guidance)),
        diffusion.denoiser(model),
    )
    timesteps = trailing_timesteps(1000, 1000)
    x = torch.ones(1, 1, dtype=torch.float64)
    made = final(heun(denoise, x, diffusion.schedule, timesteps)).item()

    schedule = diffusion.schedule
    levels = (schedule.sigmas / schedule.alphas).tolist()
    # Guidance acts from the level of the interval's last timestep down to that before its first.
    top, bottom = levels[interval[1]], levels[interval[0] - 1] if interval[0] else 0.0
    factor = shrinkage(variance, levels[-1], 0.0)
    factor *= (shrinkage(variance, top, bottom) / shrinkage(worse, top, bottom)) ** (guidance - 1)
    expected = factor / schedule.at(999)[0]
    assert made == pytest.approx(expected, rel=2e-3)
    # Guidance matters, or this would prove nothing.
    assert abs(expected * schedule.at(999)[0] / shrinkage(variance, levels[-1], 0.0) - 1) > 0.02


# ------------------------------------------------------------------------- from the command line


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """A folder with a class-conditional model of eight Gaussians on a ring."""
    folder = tmp_path_factory.mktemp("ring")
    options = "--dataset gaussians --class_conditional --epochs 40 --batch_size 200"
    options = f"{options} --sample_interval 40 --save_interval 10"
    succeed("train.py", *options.split(), cwd=folder)
    assert_picture(folder / "outputs" / "samples" / "epoch_040.png")
    return folder


def cluster_of(points: np.ndarray) -> np.ndarray:
    """The label of the cluster whose centre is nearest to each point."""
    data, labels = make_shape("gaussians", 8000, 0)
    centres = np.stack([data[labels == k].mean(0) for k in range(8)])
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)


def sample_points(ring, *options: object) -> np.ndarray:
    options = ("--output", "s.npy", "--sampler", "dpmpp", *options)
    succeed("sample.py", *options, "--num_images", 400, cwd=ring)
    return np.load(ring / "s.npy")


def test_labels_decide_where_points_go(ring):
    assert (cluster_of(sample_points(ring, "--labels", 3)) == 3).mean() > 0.97
    in_turn = sample_points(ring, "--labels", "0-2,6")
    assert (cluster_of(in_turn) == np.tile([0, 1, 2, 6], 100)).mean() > 0.97
    # All classes if none is named; small batches, the last of them padded, change nothing.
    every = sample_points(ring)
    assert (cluster_of(every) == np.tile(np.arange(8), 50)).mean() > 0.97
    np.testing.assert_allclose(
        sample_points(ring, "--batch_size", 150), every, rtol=1e-3, atol=1e-3
    )


def test_guidance_draws_points_towards_their_class(ring):
    def radius(guidance: float) -> float:
        points = sample_points(ring, "--labels", 0, "--guidance", guidance)
        return np.linalg.norm(points, axis=1).mean()

    # Away from what all classes have in common, their middle.
    assert radius(4) > radius(1) + 0.01
    clusters = cluster_of(sample_points(ring, "--labels", 0, "--guidance", 0))
    assert np.bincount(clusters, minlength=8).min() > 20  # without the class: all of them, 50 each


EARLY = ("--guide", "outputs/checkpoints/model_epoch_010.pt")


def test_an_early_checkpoint_guides_points_onto_the_data(ring):
    def share_off(*options: object) -> float:
        many = ("--num_samples", 2000, "--sampler", "dpmpp")  # whose strays no fresh noise corrects
        succeed("evaluate.py", *many, *options, cwd=ring)
        figures = json.loads((ring / "outputs" / "evaluation.json").read_text())["figures"]
        return figures["share of samples off the data"]["samples"]

    plain = share_off()
    assert share_off(*EARLY, "--guidance", 1) == plain
    assert share_off(*EARLY) < plain / 3


def test_guidance_within_an_interval_from_the_command_line(ring):
    plain, everywhere = sample_points(ring), sample_points(ring, *EARLY)
    all_of_them = sample_points(ring, *EARLY, "--guidance_interval", 0, 199)
    np.testing.assert_array_equal(all_of_them, everywhere)
    # Of 20 trailing steps of 200, none is at t = 0 ... 8.
    none_of_them = sample_points(ring, *EARLY, "--guidance_interval", 0, 8)
    np.testing.assert_array_equal(none_of_them, plain)
    some = sample_points(ring, "--guidance", 3, "--guidance_interval", 100, 999)
    assert np.abs(some - plain).max() > 0.01
    assert np.abs(some - sample_points(ring, "--guidance", 3)).max() > 0.01


def test_conditional_points_are_evaluated_and_drawn(ring):
    out = succeed("evaluate.py", "--num_samples", 500, "--guidance", 1.5, cwd=ring)
    assert "guidance 1.5" in out
    process = ("--num_images", 100, "--gif", "--show_intermediate")
    succeed("sample.py", "--sampler", "heun", "--steps", 5, *process, cwd=ring)
    assert_picture(ring / "outputs" / "generated_samples.png")
    options = "--checkpoint outputs/model_final.pt --num_points 300 --arrows --no-gif".split()
    succeed("visualize_diffusion.py", *options, cwd=ring)
    assert_picture(ring / "outputs" / "reverse_diffusion.png")


def test_the_process_is_shown_of_each_class_in_turn(tmp_path):
    given = []

    def network(x, t, labels=None):
        given.append(labels.tolist())
        return x

    diffusion = Diffusion(make_schedule("cosine", 10), "v")
    args = argparse.Namespace(
        save_path=tmp_path / "forward.png", dataset="digits", schedule="cosine", timesteps=10
    )
    args.gif = args.arrows = False
    data = (torch.zeros(5, 1, 28, 28), torch.zeros(5, dtype=torch.int64))
    config = {"label_counts": [5, 5, 5], "kind": "images", "objective": "denoising"}
    draw_process(args, data, diffusion, make_pictures(ImageUnits((1, 28, 28))), network, config)
    assert given == [[0, 1, 2, 0, 1]] * 10


def test_a_grid_with_a_row_for_each_class(tmp_path):
    train = "--dataset digits --subset 300 --batch_size 64 --base_channels 8 --epochs 1"
    train = f"{train} --class_conditional --label_dropout 0.2 --num_samples 12"
    succeed("train.py", *train.split(), cwd=tmp_path)
    assert_picture(tmp_path / "outputs" / "samples" / "epoch_001.png")
    options = "--sampler ddim --steps 2 --guidance 2".split()
    assert "80 images" in succeed("sample.py", *options, cwd=tmp_path)
    picture = assert_picture(tmp_path / "outputs" / "generated_samples.png")
    assert picture.shape[0] > 1.1 * picture.shape[1]  # ten rows of eight
    options += "--guide outputs/model_final.pt --guidance_interval 500 999 --num_images 4".split()
    options += ["--compile", "on"]
    said = succeed("sample.py", *options, cwd=tmp_path)
    assert "compiling failed" not in said
    assert "by model_final.pt at t = 500-999" in said
    for labels, says in (("10", "knows 0-9"), ("0-", "no class '0-'"), ("3-1", "no class '3-1'")):
        assert says in refuse("sample.py", "--labels", labels, cwd=tmp_path)


def test_what_has_no_classes_is_refused(tmp_path):
    command = ("train.py", "--dataset", "line", "--class_conditional")
    assert "all have the same class" in refuse(*command, cwd=tmp_path)
    assert "class_conditional" in refuse("train.py", "--label_dropout", 0.3, cwd=tmp_path)
    train = "--dataset line --num_points 100 --epochs 1 --sample_interval 1".split()
    succeed("train.py", *train, cwd=tmp_path)
    for option in (("--labels", 0), ("--guidance", 2)):
        assert "--class_conditional" in refuse("sample.py", *option, cwd=tmp_path)
    assert "--class_conditional" in refuse("evaluate.py", "--guidance", 2, cwd=tmp_path)


def test_guides_that_do_not_fit_are_refused(ring, tmp_path):
    final_one = ("--guide", ring / "outputs" / "model_final.pt")
    for options, says in (
        (("--guidance_interval", 1, 5), "needs --guidance or --guide"),
        ((*final_one, "--guidance_interval", 5, 1), "must not be after its last"),
        ((*final_one, "--guidance_interval", 200, 300), "last timestep is 199"),
        (("--guide", "nothing.pt"), "no checkpoint at nothing.pt"),
    ):
        assert says in refuse("sample.py", *options, cwd=ring)
        assert says in refuse("evaluate.py", *options, cwd=ring)
    train = ("train.py", "--dataset", "gaussians", "--epochs", 1, "--timesteps")
    for timesteps, says in (
        (100, "its timesteps is 200, but the model's is 100"),
        (200, "must have learned the same labels"),
    ):
        succeed(*train, timesteps, cwd=tmp_path)
        assert says in refuse("sample.py", *final_one, cwd=tmp_path)


# ------------------------------------------------------------------------- what was never learned


def class_conditional(folder, *options):
    """A folder with a model of digits, trained briefly with these options."""
    run = "--dataset digits --batch_size 10 --epochs 1 --model mlp --hidden_size 4 --num_samples 12"
    args = train.parse_arguments(
        [*run.split(), "--class_conditional", "--output_dir", str(folder), *options]
    )
    trainer = train.make_trainer(args)
    trainer.train()
    return trainer


def sampling(folder, *options):
    args = sample.parse_arguments(["--checkpoint", str(folder / "model_final.pt"), *options])
    args.output = folder / "samples.png"
    return sample.prepare(args, restore(args.checkpoint))


def test_only_classes_with_examples_exist(tmp_path):
    """Twelve digits lack some of the ten classes."""
    trainer = class_conditional(tmp_path, "--subset", "12")
    there = trainer.run.batches.labels.unique().tolist()
    counts = trainer.run.config["label_counts"]
    absent = [label for label in range(len(counts)) if label not in there]
    assert absent  # or the test would show nothing
    assert with_examples(counts) == there
    assert set(trainer.preview.labels.tolist()) <= set(there)
    _, _, labels = sampling(tmp_path)
    assert labels.unique().tolist() == there
    with pytest.raises(InputError, match=f"no class {absent[0]}.*saw no examples of.*{absent[0]}"):
        sampling(tmp_path, "--labels", str(absent[0]))
    with pytest.raises(InputError, match="all have the same class"):
        class_conditional(tmp_path, "--subset", "1")


def test_a_label_that_was_never_dropped_leaves_no_class_unknown(tmp_path):
    class_conditional(tmp_path, "--subset", "100", "--label_dropout", "0")
    for guidance in ("2", "0"):
        with pytest.raises(InputError, match=r"needs a --guide here.*label_dropout 0"):
            sampling(tmp_path, "--guidance", guidance)
    sampling(tmp_path, "--guidance", "1")
    guide = str(tmp_path / "model_final.pt")
    sampling(tmp_path, "--guidance", "2", "--guide", guide)
    picture = tmp_path / "picture.png"
    iio.imwrite(picture, np.full((28, 28), 255, np.uint8))
    files = ("--inpaint", str(picture), "--mask", str(picture), "--steps", "1")
    for labels, refused in (((), True), (("--labels", "3"), False)):
        options = (*files, *labels, "--checkpoint", guide, "--output", str(tmp_path / "out.png"))
        args = sample.parse_arguments([*options])
        with pytest.raises(InputError, match="needs --labels here") if refused else nullcontext():
            sample.make_inpainting(args, torch.device("cpu"))


def test_a_guide_must_have_learned_the_same_labels(tmp_path):
    for name, options in (("all", ()), ("never", ("--label_dropout", "0"))):
        class_conditional(tmp_path / name, "--subset", "100", *options)
    class_conditional(tmp_path / "few", "--subset", "12")
    for name in ("never", "few"):
        with pytest.raises(InputError, match="must have learned the same labels"):
            sampling(tmp_path / "all", "--guide", str(tmp_path / name / "model_final.pt"))


def test_exported_weights_guide_the_model_that_they_came_from(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "drawing.csv").write_text("1,2\n3,4\n5,9\n")
    train_options = ["--dataset", str(tmp_path / "drawing.csv"), "--num_points", "50"]
    train_options += ["--hidden_size", "4", "--epochs", "1", "--output_dir", str(tmp_path)]
    train.make_trainer(train.parse_arguments(train_options)).train()
    checkpoint, export = tmp_path / "model_final.pt", tmp_path / "e.safetensors"
    sample.main(["--checkpoint", str(checkpoint), "--export", str(export)])
    trained, *_ = sampling(tmp_path, "--guide", str(export))
    assert trained.guide is not None


def test_arrows_need_points_without_a_class(tmp_path):
    options = "--dataset moons --num_points 50 --epochs 1 --hidden_size 4 --num_samples 4"
    options += f" --class_conditional --label_dropout 0 --output_dir {tmp_path}"
    train.make_trainer(train.parse_arguments(options.split())).train()
    checkpoint = ["--checkpoint", str(tmp_path / "model_final.pt")]
    args = visualize_diffusion.parse_arguments([*checkpoint, "--arrows"])
    with pytest.raises(InputError, match="label_dropout 0 does not know"):
        visualize_diffusion.show_process(args)


def test_guidance_of_inpainting_needs_a_class():
    files = ["--inpaint", "a.png", "--mask", "b.png", "--guidance", "2"]
    with pytest.raises(InputError, match="needs --labels"):
        sample.parse_arguments(files)
    sample.parse_arguments([*files, "--labels", "3"])
    sample.parse_arguments([*files, "--guide", "x.pt"])
