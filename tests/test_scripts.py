"""The scripts as a person runs them: as processes, on built-in data."""

import csv
import importlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scripts import REPOSITORY, assert_picture, refuse, succeed

import train
from system.errors import InputError, one_line

SCRIPTS = ("train.py", "sample.py", "visualize_diffusion.py", "evaluate.py")
TRAIN = "--dataset digits --subset 300 --batch_size 64 --base_channels 8 --num_samples 9".split()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder in which a short training run was made with defaults for the output."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--epochs", 2, "--save_interval", 1, "--seed", 3]
    (folder / "stdout.txt").write_text(succeed("train.py", *TRAIN, *options, cwd=folder))
    return folder


# ---------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_fits_two_screens_and_imports_nothing_heavy(script, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(REPOSITORY / script), "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert "--help_all" in done.stdout
    assert len(done.stdout.splitlines()) <= 55  # two screens
    for heavy in ("torch", "numpy", "matplotlib", "tqdm", "imageio"):
        assert f" {heavy}\n" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_python_code_in_the_guide_runs(tmp_path):
    guide = (REPOSITORY / "docs" / "GUIDE.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    code = code.replace("1000, 50", "1000, 2")
    command = [sys.executable, "-c", code + "assert samples.shape == (16, 1, 28, 28)\n"]
    subprocess.run(command, cwd=REPOSITORY, check=True)


# ------------------------------------------------------------------------------------ train.py


def test_training_writes_every_file(trained):
    outputs = trained / "outputs"
    for epoch in (1, 2):
        assert_picture(outputs / "samples" / f"epoch_{epoch:03d}.png")
        assert (outputs / "checkpoints" / f"model_epoch_{epoch:03d}.pt").stat().st_size > 10_000
    assert_picture(outputs / "training_loss.png")
    assert (outputs / "model_final.pt").exists()
    leftovers = [path for path in outputs.rglob("*") if ".tmp" in path.name]
    assert leftovers == []


def test_training_prints_a_line_per_epoch_without_a_terminal(trained):
    lines = (trained / "stdout.txt").read_text().splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 2
    *_, wrote, following, sample, page, measure = lines
    assert wrote.startswith("wrote ")
    assert following == "next:"
    assert [line.split()[0] for line in (sample, page, measure)] == ["python"] * 3


def test_history_has_a_row_for_each_step(trained):
    with (trained / "outputs" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "loss", "lr", "seconds", "images_per_second"]
    assert [int(row["step"]) for row in rows] == list(range(1, 9))  # 300 // 64 = 4 steps an epoch
    assert [int(row["epoch"]) for row in rows] == [1] * 4 + [2] * 4
    rates = [float(row["lr"]) for row in rows]
    cosine = [2e-3 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]
    assert rates == pytest.approx(cosine, rel=1e-5)  # they are written with six digits
    assert all(0 < float(row["loss"]) < 2 for row in rows)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def test_config_holds_every_option(trained):
    config = json.loads((trained / "outputs" / "config.json").read_text())
    assert config["epochs"] == 2
    assert config["seed"] == 3
    assert config["dataset"] == "digits"
    assert config["schedule"] == "cosine"
    assert config["kind"] == "images"


def test_checkpoint_of_last_epoch_is_the_final_model(trained):
    outputs = trained / "outputs"
    final, last = (
        torch.load(path, weights_only=True)
        for path in (outputs / "model_final.pt", outputs / "checkpoints" / "model_epoch_002.pt")
    )
    for weights in ("model", "ema"):
        assert all(torch.equal(final[weights][k], last[weights][k]) for k in final[weights])
    assert any(not torch.equal(final["model"][k], final["ema"][k]) for k in final["model"])


def losses(folder: Path) -> list[str]:
    with (folder / "outputs" / "history.csv").open() as file:
        return [row["loss"] for row in csv.DictReader(file)]


def test_one_seed_one_result(trained, tmp_path):
    """The same seed gives the same losses and images, another seed others."""
    pictures = {}
    for seed in (3, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        succeed("train.py", *TRAIN, "--epochs", 2, "--seed", seed, cwd=folder)
        pictures[seed] = iio.imread(folder / "outputs" / "samples" / "epoch_002.png")
    reference = iio.imread(trained / "outputs" / "samples" / "epoch_002.png")
    assert losses(tmp_path / "3") == losses(trained)
    assert losses(tmp_path / "4") != losses(trained)
    assert np.array_equal(pictures[3], reference)
    assert not np.array_equal(pictures[4], reference)


def test_a_second_run_moves_the_first_aside(trained, tmp_path):
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    out = succeed("train.py", *TRAIN, "--epochs", 1, cwd=tmp_path)
    aside = Path("outputs", "earlier_001")
    assert f"to {aside}" in out
    for name in ("model_final.pt", "history.csv", "samples/epoch_002.png"):
        first = (trained / "outputs" / name).read_bytes()
        assert (tmp_path / aside / name).read_bytes() == first
    assert not (tmp_path / "outputs" / "samples" / "epoch_002.png").exists()


# Other names of options, and the one under which each stands in the configuration.
ALIASES = {
    **{"num_epochs": "epochs", "train_batch_size": "batch_size", "learning_rate": "lr"},
    **{"num_timesteps": "timesteps", "beta_schedule": "schedule", "eval_batch_size": "num_samples"},
}


def test_every_other_name_of_an_option_is_known_here(tmp_path):
    helped = succeed("train.py", "--help_all", cwd=tmp_path)
    found = re.findall(r"^  --(\w+) \S+, --(\w+) \S+$", helped, re.MULTILINE)
    assert {other: first for first, other in found} == ALIASES


@pytest.mark.parametrize(
    "options",
    [
        "--schedule linear --prediction eps --lr_schedule constant --timesteps 50"
        " --timestep_sampling uniform",
        "--schedule quadratic --beta_start 0.001 --beta_end 0.03 --prediction x0 --grad_clip 0",
        "--schedule log_linear --sigma_min 0.01 --sigma_max 5 --loss_weighting inverse_sigma",
        "--schedule flow --precision bf16 --compile off",
        "--loss_weighting min_snr --precision fp16 --dropout 0.25",
        "--model mlp --hidden_size 48 --hidden_layers 2 --embedding_size 20 --show_image_step 250",
        "--schedule sigmoid --ema_decay 0 --lr 0.002 --sample_interval 2 --save_interval 2",
        "--num_epochs 1 --train_batch_size 1000 --learning_rate 1e-3 --num_timesteps 10"
        " --beta_schedule linear --eval_batch_size 2 --output_dir elsewhere/run --device cpu",
    ],
)
def test_every_training_option_works(options, tmp_path):
    """Each option reaches the run: it is in the history, the files or the configuration."""
    arguments = options.split()
    common = [*TRAIN[:6], *TRAIN[8:]] if "mlp" in arguments else TRAIN  # no --base_channels
    succeed("train.py", *common, "--epochs", 2, *arguments, cwd=tmp_path)
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    outputs = tmp_path / given.get("--output_dir", "outputs")
    config = json.loads((outputs / "config.json").read_text())
    if "mlp" in arguments:
        assert config["hidden_dims"] == [48, 48]
        assert_picture(outputs / "samples" / "epoch_002_process.png")
        del given["--hidden_size"], given["--hidden_layers"]  # now in hidden_dims
    for option, value in given.items():
        found = config[ALIASES.get(option[2:], option[2:])]
        assert found == type(found)(value), option
    with (outputs / "history.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    peak = float(given.get("--lr") or given.get("--learning_rate") or 2e-3)
    assert rates[0] == peak
    constant = given.get("--lr_schedule") == "constant" or len(rates) == 1
    assert rates[-1] == peak if constant else rates[-1] < 0.1 * peak
    if given.get("--sample_interval") == "2":
        assert [path.name for path in (outputs / "samples").iterdir()] == ["epoch_002.png"]
        assert [p.name for p in (outputs / "checkpoints").iterdir()] == ["model_epoch_002.pt"]
        weights = torch.load(outputs / "model_final.pt", weights_only=True)
        # Without a moving average (decay 0) the two are the same.
        assert all(torch.equal(weights["ema"][k], v) for k, v in weights["model"].items())
    if "--num_epochs" in given:
        assert len(rates) == 1  # one epoch, one batch of all 300 images
        assert config["timesteps"] == 10
    if "mlp" in arguments or "log_linear" in arguments:  # which sampling has to rebuild
        succeed("sample.py", "--num_images", 2, "--steps", 2, cwd=tmp_path)


def test_training_without_attention(tmp_path):
    succeed("train.py", *TRAIN, "--no_attention", "--epochs", 1, cwd=tmp_path)
    succeed("sample.py", "--num_images", 2, "--steps", 2, cwd=tmp_path)
    again = ("--config", "outputs/config.json", "--output_dir", "again")
    succeed("train.py", *again, cwd=tmp_path)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["no_attention"] is True


# ----------------------------------------------------------------------------------- sample.py


def test_sampling_with_defaults_and_pictures_of_the_process(trained):
    out = succeed("sample.py", "--num_images", 5, "--show_intermediate", "--gif", cwd=trained)
    outputs = trained / "outputs"
    assert "T = 1000" in out
    assert "ddpm, 1000 steps" in out
    assert_picture(outputs / "generated_samples.png")
    assert len(iio.imread(outputs / "generated_samples.gif")) == 60
    steps = sorted(path.name for path in (outputs / "intermediate").glob("step_*.png"))
    assert len(steps) == 9
    assert steps[-1] == "step_0999.png"
    for name in (*steps, "sample.png", "process.png"):
        assert_picture(outputs / "intermediate" / name)


def sample_pixels(cwd: Path, *options: object) -> np.ndarray:
    """Sample in a few steps from the checkpoint in `cwd` and read the pixels back."""
    output = cwd / "pixels" / "samples.npy"
    succeed("sample.py", "--steps", 4, "--output", output, *options, cwd=cwd)
    pixels = np.load(output)
    assert pixels.dtype == np.uint8
    assert pixels.shape[1:] == (28, 28)
    return pixels


def test_samples_depend_on_seed_sampler_and_weights_but_not_on_the_batch(trained):
    reference = sample_pixels(trained, "--num_images", 70)
    assert len(reference) == 70
    in_batches = sample_pixels(trained, "--num_images", 70, "--batch_size", 30)
    # Another batch size may round otherwise in the last bit, which moves a few pixels by one.
    difference = abs(in_batches.astype(int) - reference)
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    fewer = sample_pixels(trained, "--num_images", 3)
    assert abs(fewer.astype(int) - reference[:3]).max() <= 1
    for options in (
        ("--seed", 1),
        ("--sampler", "ddim"),
        ("--sampler", "ddim", "--eta", 0.5),
        ("--sampler", "dpmpp"),
        ("--no_ema",),
    ):
        assert not np.array_equal(fewer, sample_pixels(trained, "--num_images", 3, *options))
    # ddim with eta = 1 is ddpm, also through the command line.
    as_ddpm = sample_pixels(trained, "--num_images", 3, "--sampler", "ddim", "--eta", 1)
    assert abs(fewer.astype(int) - as_ddpm).max() <= 1
    by_dpmpp = [
        sample_pixels(trained, "--num_images", 3, "--sampler", "dpmpp", "--eta", eta)
        for eta in (0, 1)
    ]
    assert not np.array_equal(*by_dpmpp)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["heun", "dpmpp"])
def test_second_order_samplers_take_20_steps_and_agree_with_ddim(sampler, trained):
    """All three follow the same path from noise to image, so with more steps they meet."""
    options = ["--num_images", 3, "--precision", "fp32"]
    out = succeed("sample.py", *options, "--sampler", sampler, cwd=trained)
    assert f"{sampler}, 20 steps" in out
    images = sample_pixels(trained, *options, "--sampler", sampler, "--steps", 100).astype(int)
    path = sample_pixels(trained, *options, "--sampler", "ddim", "--steps", 1000)
    coarse = sample_pixels(trained, *options, "--sampler", "ddim", "--steps", 100)
    assert abs(images - path).mean() < abs(coarse - path).mean()


def test_precision_and_compilation_hardly_change_the_samples(trained):
    options = ["--num_images", 5, "--batch_size", 3, "--sampler", "ddim", "--steps", 5]
    exact = sample_pixels(trained, *options, "--precision", "fp32").astype(int)
    compiled = sample_pixels(trained, *options, "--precision", "fp32", "--compile", "on")
    rounded = sample_pixels(trained, *options, "--precision", "bf16").astype(int)
    assert abs(compiled - exact).max() <= 1
    assert 0 < abs(rounded - exact).mean() < 3


def test_without_a_compiler_sampling_goes_on_and_says_so(trained, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    out = succeed("sample.py", "--num_images", 2, "--steps", 2, "--compile", "on", cwd=trained)
    assert "not compiled: no C++ compiler" in out


def test_show_image_step_and_output_name(trained, tmp_path):
    options = ["--checkpoint", trained / "outputs" / "model_final.pt", "--num_images", 2]
    succeed("sample.py", *options, "--sampler", "ddim", "--steps", 20, "--show_image_step", 5,
            "--output", "some/name.png", cwd=tmp_path)  # fmt: skip
    assert_picture(tmp_path / "some" / "name.png")
    steps = sorted(path.name for path in (tmp_path / "some" / "intermediate").glob("step_*"))
    assert steps == [f"step_{t:04d}.png" for t in (249, 499, 749, 999)]


def test_fewer_steps_than_pictures(trained, tmp_path):
    """With every timestep of a short process visited, one more than those is the sample."""
    run_folder = tmp_path / "outputs"
    succeed("train.py", *TRAIN, "--epochs", 1, "--timesteps", 4, cwd=tmp_path)
    succeed("sample.py", "--num_images", 1, "--show_intermediate", "--gif", cwd=tmp_path)
    steps = sorted(path.name for path in (run_folder / "intermediate").glob("step_*"))
    assert steps == [f"step_{t:04d}.png" for t in range(4)]
    assert len(iio.imread(run_folder / "generated_samples.gif")) == 5


# ---------------------------------------------------------------------- visualize_diffusion.py


def test_forward_process_pictures(tmp_path):
    succeed("visualize_diffusion.py", "--dataset", "digits", cwd=tmp_path)
    still = assert_picture(tmp_path / "outputs" / "forward_diffusion.png")
    frames = iio.imread(tmp_path / "outputs" / "forward_diffusion.gif")
    assert len(frames) == 50
    assert (tmp_path / "outputs" / "forward_diffusion.gif").stat().st_size < 2e6
    assert still.shape[1] > still.shape[0] * 0.5


# -------------------------------------------------------------------------------------- points

POINTS = "--num_points 1000 --epochs 60 --batch_size 250 --hidden_size 32 --num_samples 200".split()


@pytest.fixture(scope="session")
def trained_points(tmp_path_factory) -> Path:
    """A folder with a short run on a drawing, far from the origin and in large units."""
    folder = tmp_path_factory.mktemp("points")
    angle = np.linspace(0, 2 * np.pi, 400)
    drawing = np.stack([5000 + 300 * np.cos(angle), -2000 + 100 * np.sin(angle)], axis=1)
    np.savetxt(folder / "drawing.csv", drawing, delimiter=",", header="x,y", comments="")
    options = ["--dataset", "drawing.csv", "--jitter", 0.02, "--sample_interval", 30]
    succeed("train.py", *POINTS, *options, cwd=folder)
    return folder


def test_training_on_a_drawing_writes_every_file(trained_points):
    outputs = trained_points / "outputs"
    assert_picture(outputs / "training_loss.png")
    names = [path.name for path in sorted((outputs / "samples").iterdir())]
    assert names == ["epoch_030.png", "epoch_060.png"]
    assert_picture(outputs / "samples" / "epoch_060.png")
    config = json.loads((outputs / "config.json").read_text())
    assert config["kind"] == "points"
    assert config["mean"] == pytest.approx([5000, -2000], abs=40)
    assert config["scale"] == pytest.approx(np.sqrt((300**2 + 100**2) / 4), rel=0.05)


@pytest.mark.parametrize(
    "options", ["", "--sampler ddim --steps 20", "--sampler ddim --momentum 2"]
)
def test_points_come_out_in_the_units_of_the_data(options, trained_points):
    for suffix in ("npy", "csv"):
        output = f"out/points.{suffix}"
        succeed("sample.py", "--num_images", 300, "--output", output, *options.split(),
                cwd=trained_points)  # fmt: skip
    points = np.load(trained_points / "out" / "points.npy")
    assert points.shape == (300, 2)
    assert points.dtype == np.float32
    assert points.mean(0) == pytest.approx([5000, -2000], abs=250)
    table = np.loadtxt(trained_points / "out" / "points.csv", delimiter=",", skiprows=1)
    assert np.array_equal(table.astype(np.float32), points)


def test_pictures_of_the_process_of_points(trained_points):
    succeed("sample.py", "--show_intermediate", "--gif", cwd=trained_points)
    outputs = trained_points / "outputs"
    steps = sorted(path.name for path in (outputs / "intermediate").glob("step_*"))
    assert len(steps) == 9
    assert steps[-1] == "step_0199.png"
    for name in (*steps, "sample.png", "process.png"):
        assert_picture(outputs / "intermediate" / name)
    assert_picture(outputs / "generated_samples.png")
    assert len(iio.imread(outputs / "generated_samples.gif")) == 60
    assert (outputs / "generated_samples.gif").stat().st_size < 3e6


def test_visualizing_a_trained_model(trained_points):
    checkpoint = Path("outputs", "model_final.pt")
    succeed("visualize_diffusion.py", "--checkpoint", checkpoint, "--arrows", "--num_points", 500,
            "--save_path", "v/forward.png", cwd=trained_points)  # fmt: skip
    folder = trained_points / "v"
    for name in ("forward", "reverse_diffusion", "arrows", "score_field", "trajectories"):
        assert_picture(folder / f"{name}.png")
    for name in ("forward.gif", "there_and_back.gif"):
        assert len(iio.imread(folder / name)) >= 50
        assert (folder / name).stat().st_size < 3e6


def test_visualizing_images_of_a_trained_model(trained):
    succeed("visualize_diffusion.py", "--checkpoint", "outputs/model_final.pt", "--num_images", 3,
            "--save_path", "v/forward.png", "--no-gif", cwd=trained)  # fmt: skip
    assert_picture(trained / "v" / "reverse_diffusion.png")
    assert not list((trained / "v").glob("*.gif"))
    error = refuse("visualize_diffusion.py", "--checkpoint", "outputs/model_final.pt",
                   "--dataset", "dino", cwd=trained)  # fmt: skip
    assert "not of the model's kind" in error


@pytest.mark.parametrize(
    "options",
    [
        "--dataset swiss_roll --schedule log_linear --sigma_min 0.002 --sigma_max 2.0"
        " --timesteps 40 --loss_weighting inverse_sigma --time_embedding log_sigma",
        "--dataset tree --schedule linear --prediction eps --hidden_dims 16,32,16"
        " --time_embedding learned --coordinates raw",
        "--dataset picture.png --jitter 0 --time_embedding linear --embedding_scale 2 --subset 500"
        " --embedding_size 16 --hidden_layers 1",
    ],
)
def test_every_option_of_points_works(options, tmp_path):
    ink = np.full((40, 40), 255, dtype=np.uint8)
    ink[10:20, 5:35] = 0
    iio.imwrite(tmp_path / "picture.png", ink)
    arguments = options.split()
    common = [
        o for o in POINTS if not ("--hidden_dims" in arguments and o in ("--hidden_size", "32"))
    ]
    succeed("train.py", *common, *arguments, cwd=tmp_path)
    config = json.loads((tmp_path / "outputs" / "config.json").read_text())
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        if name == "--hidden_layers":
            assert config["hidden_dims"] == [32]
        elif name == "--hidden_dims":
            assert config["hidden_dims"] == [16, 32, 16]
        else:
            assert config[name[2:]] == type(config[name[2:]])(value)
    if "log_linear" in arguments:  # starts from wider noise than the others
        output = tmp_path / "points.npy"
        succeed("sample.py", "--num_images", 500, "--output", output, cwd=tmp_path)
        assert np.isfinite(np.load(output)).all()


def test_a_configuration_file_sets_options_and_flags_override_it(trained_points, tmp_path):
    shutil.copy(trained_points / "drawing.csv", tmp_path)
    shutil.copy(trained_points / "outputs" / "config.json", tmp_path)
    succeed("train.py", "--config", "config.json", "--epochs", 2, cwd=tmp_path)
    first, second = (
        json.loads((folder / "outputs" / "config.json").read_text())
        for folder in (trained_points, tmp_path)
    )
    assert {k for k in first if first[k] != second[k]} == {"epochs"}
    assert second["epochs"] == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"epochz": 3}', "no option --epochz"),
        (b'{"epochs": 0}', "at least 1"),
        (b'{"epochs": "many"}', "whole number"),
        (b"[1, 2]", "object of options"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"dataset": {"name": "dino"}}', "dataset must be a value"),
        (b'{"hidden_dims": [[8], 8]}', "hidden_dims must be a value"),
        (b'{"epochs": 3, "model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"epochs": ' + b"9" * 100_000 + b"}", "not JSON"),
        (b'{"output_dir": "a\\u0000b"}', "output_dir contains characters"),
        (b'{"dataset": "\\ud800.csv"}', "dataset contains characters"),
        (b'{"data_dir": ["a", "\\udfff"]}', "data_dir contains characters"),
        (b'{"a\\n\\u0000\\ud800": 3}', r"no option --a\n\x00\ud800"),
        (b"{" + b",".join(b'"%d": 1' % k for k in range(80_000)) + b"}", "no option --0"),
        (b'{"dataset": "' + b"x" * 900_000 + b'"}', "unknown dataset"),
        (b'{"dataset": "' + b"x" * 2_000_000 + b'"}', "more than 1,000,000 bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_configuration_files_are_refused(content, says, tmp_path, capsys):
    path = tmp_path / "c.json"
    path.write_bytes(content)
    assert says in refused("train", ["--config", str(path)], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/zero")
def test_a_configuration_without_end_is_refused(capsys):
    assert "not a plain file" in refused("train", ["--config", "/dev/zero"], capsys)


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "c.json").write_bytes(b'\xef\xbb\xbf{"epochs": 7, "num_epochs": 9}')
    assert train.parse_arguments(["--config", str(tmp_path / "c.json")]).epochs == 9


def test_a_bad_drawing_is_refused_with_its_line(tmp_path):
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n3,oops\n")
    error = refuse("train.py", "--dataset", "bad.csv", cwd=tmp_path)
    assert "bad.csv, line 3: y is 'oops'" in error


# ----------------------------------------------------------------------------------- bad input


def parse(script: str, options: list[str]) -> None:
    """All that a script does with its options before it imports anything heavy."""
    module = importlib.import_module(script)
    args = module.parse_arguments(options)
    if script == "visualize_diffusion":
        module.complete(args, None)


def refused(script: str, options: list[str], capsys) -> str:
    """What a script says to options that it refuses: one or two lines."""
    with pytest.raises((InputError, SystemExit)) as caught:
        parse(script, options)
    if isinstance(caught.value, InputError):
        said = one_line(str(caught.value))
    else:
        assert caught.value.code == 2
        said = capsys.readouterr().err
    assert 1 <= len(said.splitlines()) <= 2
    assert len(said) < 1500
    return said


BAD_OPTIONS = [
    ("train.py", "--epochs 0", "at least 1"),
    ("train.py", "--epochs -3", "at least 1"),
    ("train.py", "--epochs two", "whole number"),
    ("train.py", "--batch_size 0", "at least 1"),
    ("train.py", "--batch_size 1.5", "whole number"),
    ("train.py", "--timesteps 0", "2 to 100000"),
    ("train.py", "--timesteps 1", "2 to 100000"),
    ("train.py", "--subset 0", "1 to 1000000000000"),
    ("train.py", "--lr 0", "above 0"),
    ("train.py", "--lr nan", "above 0"),
    ("train.py", "--lr inf", "at most 1"),
    ("train.py", "--lr=-1e-4", "above 0"),
    ("train.py", "--lr fast", "expected a number"),
    ("train.py", "--grad_clip -1", "at least 0"),
    ("train.py", "--ema_decay 1", "at most 0.999999"),
    ("train.py", "--beta_end 1", "at most 0.9999"),
    ("train.py", "--schedule linear --beta_start 0.5 --beta_end 0.1", "--beta_start"),
    ("train.py", "--schedule linear --beta_start 0.5", "--beta_end"),
    ("train.py", "--schedule cosine --beta_end 0.1", "cosine"),
    ("train.py", "--schedule cosin", "Did you mean 'cosine'?"),
    ("train.py", "--prediction noise", "eps, x0, v"),
    ("train.py", "--lr_schedule step", "constant"),
    ("train.py", "--timestep_sampling normal", "Did you mean 'logit_normal'?"),
    ("train.py", "--dataset fashon_mnist", "Did you mean 'fashion_mnist'?"),
    ("train.py", "--dataset imagenet", "mnist, fashion_mnist, cifar10, digits"),
    ("train.py", "--device gpu", "auto, cuda, mps, cpu"),
    ("train.py", "--base_channels 0", "1 to 8192"),
    ("train.py", "--num_samples 0", "1 to 10000"),
    ("train.py", "--sample_interval 0", "at least 1"),
    ("train.py", "--save_interval 0", "at least 1"),
    ("train.py", "--seed -1", "0 to"),
    ("train.py", "--epoch 3", "unrecognized arguments"),
    ("train.py", "extra", "unrecognized arguments"),
    ("sample.py", "--num_images 0", "1 to 10000000"),
    ("sample.py", "--steps 0", "at least 1"),
    ("sample.py", "--batch_size 0", "at least 1"),
    ("sample.py", "--show_image_step 0", "at least 1"),
    ("sample.py", "--sampler dddim", "Did you mean 'ddim'?"),
    ("sample.py", "--sampler ddim --eta 2", "at most 1"),
    ("train.py", "--num_points 100", "sets of points only"),
    ("train.py", "--dataset dino --jitter 0.1", "drawings"),
    ("train.py", "--dataset dino --num_points 2", "3 to 10000000"),
    ("train.py", "--dataset dino --schedule cosine --beta_end 0.1", "does not apply to cosine"),
    ("train.py", "--schedule flow --prediction eps", "use v or x0"),
    ("train.py", "--schedule flow --loss_weighting min_snr", "have none"),
    ("train.py", "--precision fp64", "invalid choice"),
    ("train.py", "--dataset x.csv --jitter -1", "at least 0"),
    ("train.py", "--dataset dino --base_channels 8", "unet only"),
    ("train.py", "--dataset dino --no_attention", "unet only"),
    ("train.py", "--model mlp --dropout 0.1", "unet only"),
    ("train.py", "--dropout 1", "at most 0.99"),
    ("train.py", "--dataset dino --model unet", "need --model mlp"),
    ("train.py", "--hidden_size 8", "mlp and dit only"),
    ("train.py", "--model mlp --embedding_scale 2", "points only"),
    ("train.py", "--dataset dino --embedding_size 7", "even"),
    ("train.py", "--dataset dino --hidden_dims 8,8 --hidden_layers 2", "--hidden_dims"),
    ("train.py", "--dataset dino --hidden_dims 8,,8", "whole number"),
    ("train.py", "--dataset dino --time_embedding learnt", "Did you mean 'learned'?"),
    ("train.py", "--sigma_min 0.1", "log_linear only"),
    ("train.py", "--schedule log_linear --beta_end 0.1", "log_linear"),
    ("train.py", "--schedule log_linear --sigma_min 3 --sigma_max 2", "smaller"),
    ("train.py", "--config missing.json", "missing.json"),
    ("sample.py", "--eta 0.5", "ddim and dpmpp only"),
    ("sample.py", "--sampler heun --eta 0.5", "ddim and dpmpp only"),
    ("sample.py", "--momentum 2", "ddim only"),
    ("sample.py", "--sampler ddim --eta 0.5 --momentum 2", "--eta 0"),
    ("sample.py", "--output samples.jpg", ".png or .npy or .csv"),
    ("sample.py", "--output samples", ".png or .npy or .csv"),
    ("visualize_diffusion.py", "--arrows", "sets of points"),
    ("visualize_diffusion.py", "--dataset dino --num_images 3", "images only"),
    ("visualize_diffusion.py", "--checkpoint x.pt --schedule cosine", "--checkpoint"),
    (
        "visualize_diffusion.py",
        "--compare_schedules --schedule cosine",
        "shows them by their defaults",
    ),
    ("visualize_diffusion.py", "--num_images 0", "1 to 100"),
    ("visualize_diffusion.py", "--save_path picture.gif", ".png"),
    ("visualize_diffusion.py", "--timesteps 0", "2 to 100000"),
    ("visualize_diffusion.py", "--schedule linear --beta_start 0.3 --timesteps 99", "--beta_start"),
]


@pytest.mark.parametrize(("script", "options", "says"), BAD_OPTIONS)
def test_bad_options_are_refused(script, options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert says in refused(script.removesuffix(".py"), options.split(), capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "options", "says"),
    [
        ("train.py", "--epochs 0", "at least 1"),
        ("train.py", "--dataset dino --model unet", "need --model mlp"),
        ("sample.py", "--output samples.jpg", ".png or .npy or .csv"),
        ("evaluate.py", "--json figures.csv", ".json"),
        ("visualize_diffusion.py", "--dataset dino --num_images 3", "images only"),
    ],
)
def test_a_refusal_ends_the_process_with_code_2(script, options, says, tmp_path):
    assert says in refuse(script, *options.split(), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused(tmp_path):
    device = "mps" if not torch.backends.mps.is_available() else "cuda"
    assert "--device can be" in refuse("train.py", "--device", device, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_that_cannot_be_written_is_refused(script, trained, tmp_path):
    (tmp_path / "file").write_text("keep me")
    option, target = {
        "train.py": ("--output_dir", "file/outputs"),
        "sample.py": ("--output", "file/samples.png"),
        "visualize_diffusion.py": ("--save_path", "file/forward.png"),
        "evaluate.py": ("--json", "file/figures.json"),
    }[script]
    extra = (
        ["--checkpoint", trained / "outputs" / "model_final.pt"]
        if script in ("sample.py", "evaluate.py")
        else ["--dataset", "digits"]
    )
    assert "cannot write into" in refuse(script, option, target, *extra, cwd=tmp_path)
    assert (tmp_path / "file").read_text() == "keep me"


def test_damaged_data_is_refused_before_an_earlier_run_is_touched(trained, tmp_path):
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    (raw / "train-labels-idx1-ubyte").write_bytes(b"")
    error = refuse("train.py", "--dataset", "fashion_mnist", cwd=tmp_path)
    assert str(Path("FashionMNIST", "raw", "train-images-idx3-ubyte")) in error
    assert (tmp_path / "outputs" / "model_final.pt").exists()


def incomplete_config(path: Path) -> None:
    torch.save({"format": 1, "config": {"kind": "images"}, "model": {}, "ema": {}}, path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "python train.py"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_text("not a checkpoint"), "cannot be read"),
        (incomplete_config, "configuration"),
    ],
    ids="missing empty text incomplete".split(),
)
def test_bad_checkpoints_are_refused(make, says, tmp_path):
    make(tmp_path / "c.pt")
    assert says in refuse("sample.py", "--checkpoint", "c.pt", cwd=tmp_path)
    assert not (tmp_path / "outputs").exists()


def test_more_steps_than_timesteps_are_refused(trained, tmp_path):
    checkpoint = trained / "outputs" / "model_final.pt"
    error = refuse("sample.py", "--checkpoint", checkpoint, "--steps", 1001, cwd=tmp_path)
    assert "from 1 to 1000" in error


def test_sampling_without_any_training_says_what_to_do(tmp_path):
    assert "python train.py" in refuse("sample.py", cwd=tmp_path)


def test_a_broken_model_is_an_error_and_not_a_black_picture(trained, tmp_path):
    checkpoint = torch.load(trained / "outputs" / "model_final.pt", weights_only=True)
    for tensor in checkpoint["ema"].values():
        tensor.fill_(1e38)
    torch.save(checkpoint, tmp_path / "nan.pt")
    error = refuse("sample.py", "--checkpoint", "nan.pt", "--steps", 2, cwd=tmp_path, code=1)
    assert "not finite" in error
    assert not (tmp_path / "outputs" / "generated_samples.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_is_one_clear_line_and_leaves_no_damaged_file(tmp_path):
    """A limit on file sizes stands in for a full disk: writing fails half-way through a file."""
    import resource

    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *TRAIN, "--epochs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "File too large" in done.stderr
    written = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    kinds = {path.suffix or path.name for path in written}
    assert kinds <= {".json", ".csv", ".png", ".lock"}
    for path in written:
        if path.suffix == ".png":
            assert_picture(path)


def test_a_diverging_run_stops_and_says_where(tmp_path):
    """Forty layers without normalisation and a learning rate of 1: infinite within a few steps."""
    options = "--dataset circle --num_points 500 --hidden_layers 40 --lr 1 --grad_clip 0".split()
    error = refuse("train.py", *options, cwd=tmp_path, code=1)
    assert "at step" in error
    assert "try a smaller --lr" in error
    assert not (tmp_path / "outputs" / "model_final.pt").exists()
