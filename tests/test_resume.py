"""Runs that end early, in every way, and go on as if nothing had happened."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from scripts import REPOSITORY, refuse, run, succeed

import train
from checkpoints import load_checkpoint
from errors import RunError
from interrupts import StopRequests

IMAGES = "--dataset digits --subset 400 --batch_size 8 --base_channels 8 --num_samples 4".split()
EXACT = "--precision fp32 --compile off --class_conditional".split()
POINTS = "--dataset line --num_points 2000 --batch_size 10 --hidden_size 16".split()


def losses(folder) -> list[tuple[str, ...]]:
    """What history.csv says of every step, but for the times."""
    with (folder / "outputs" / "history.csv").open() as file:
        return [tuple(row[:4]) for row in csv.reader(file)]


def assert_same_end(folder, other) -> None:
    """Bit for bit: weights, average, history and pictures."""
    one, two = (load_checkpoint(x / "outputs" / "model_final.pt") for x in (folder, other))
    for part in ("model", "ema"):
        for name, weight in one[part].items():
            assert torch.equal(weight, two[part][name]), name
    assert losses(folder) == losses(other)
    pictures = sorted(path.name for path in (folder / "outputs" / "samples").iterdir())
    assert pictures
    for name in pictures:
        one, two = (x / "outputs" / "samples" / name for x in (folder, other))
        assert one.read_bytes() == two.read_bytes(), name


def start(*options: object, cwd) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPOSITORY / "train.py"), *map(str, options)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, **pipes)


def wait_for(folder, name: str) -> None:
    """Until there is a file in the folder whose name fits the pattern."""
    deadline = time.monotonic() + 120
    while not list(folder.glob(name)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


RUN = (*IMAGES, *EXACT, "--epochs", 4, "--save_interval", 1, "--lr_schedule", "cosine")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    succeed("train.py", *RUN, cwd=folder)
    return folder


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_ends_as_if_it_had_not_been(stop, whole, tmp_path):
    parts = tmp_path
    with start(*RUN, cwd=parts) as child:
        wait_for(parts / "outputs" / "checkpoints", "model_epoch_002.pt")
        time.sleep(0.1)  # somewhere within the next epoch
        child.send_signal(stop)
        _, stderr = child.communicate(timeout=60)
    assert child.returncode == (-9 if stop == signal.SIGKILL else 128 + stop)
    if stop != signal.SIGKILL:
        assert "--resume" in stderr
        assert len(stderr.splitlines()) == 1
        assert list((parts / "outputs" / "checkpoints").glob("model_step_*.pt"))
    assert not (parts / "outputs" / "model_final.pt").exists()
    out = succeed("train.py", "--resume", cwd=parts)
    assert "from epoch" in out
    assert_same_end(whole, parts)
    assert list((parts / "outputs" / "checkpoints").glob("model_step_*.pt")) == []
    assert list((parts / "outputs").rglob(".*.tmp*")) == []


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    options = (*POINTS, "--lr_schedule", "constant", "--sample_interval", 1)
    succeed("train.py", *options, "--epochs", 3, cwd=whole)
    succeed("train.py", *options, "--epochs", 2, cwd=parts)
    for options in (("--resume",), ("--resume", "--epochs", 1)):
        assert "give it more" in refuse("train.py", *options, cwd=parts)
    out = succeed("train.py", "--resume", "--epochs", 3, cwd=parts)
    assert "moved" not in out
    assert_same_end(whole, parts)
    assert json.loads((parts / "outputs" / "config.json").read_text())["epochs"] == 3
    # From an earlier checkpoint into another folder: the run that it came from stays whole.
    earlier = "outputs/checkpoints/model_epoch_002.pt"
    options = ("--resume", earlier, "--epochs", 3, "--output_dir", "again/outputs")
    succeed("train.py", *options, cwd=parts)
    assert losses(parts / "again") == losses(whole)
    # And with another learning rate: the same up to there, and then not.
    succeed("train.py", *options, "--lr", 1e-4, "--output_dir", "slower/outputs", cwd=parts)
    assert losses(parts / "slower")[:401] == losses(whole)[:401]
    assert losses(parts / "slower")[402:] != losses(whole)[402:]


def test_what_cannot_be_resumed_is_refused(tmp_path):
    assert "no checkpoint in outputs" in refuse("train.py", "--resume", cwd=tmp_path)
    assert "no checkpoint at x.pt" in refuse("train.py", "--resume", "x.pt", cwd=tmp_path)
    drawing = tmp_path / "drawing.csv"
    drawing.write_text("1,2\n3,4\n5,9\n")
    options = "--dataset drawing.csv --num_points 100 --hidden_size 16 --epochs 1".split()
    succeed("train.py", *options, cwd=tmp_path)
    assert "weights only" in refuse("train.py", "--resume", "outputs/model_final.pt", cwd=tmp_path)
    more = ("--resume", "--epochs", 2)
    for option, value in (("hidden_dims", "16"), ("schedule", "cosine"), ("ema_decay", 0.5)):
        says = refuse("train.py", *more, f"--{option}", value, cwd=tmp_path)
        assert f"--{option} cannot change" in says
    assert "--config" in refuse("train.py", *more, "--config", "outputs/config.json", cwd=tmp_path)
    drawing.write_text("1,2\n3,4\n5,8\n")
    assert "data are not those" in refuse("train.py", *more, cwd=tmp_path)


def test_a_state_that_is_not_whole_is_refused(tmp_path):
    succeed("train.py", *POINTS, "--epochs", 1, cwd=tmp_path)
    path = tmp_path / "outputs" / "checkpoints" / "model_epoch_001.pt"
    checkpoint = load_checkpoint(path)
    whole = checkpoint["training"]
    random = {k: v for k, v in whole.items() if k != "random"}
    changed = ({"step": "many"}, {"seen": -1}, {"order": torch.arange(3), "seen": 10})
    for training in (random, *({**whole, **change} for change in changed), [1, 2]):
        torch.save({**checkpoint, "training": training}, path)
        says = refuse("train.py", "--resume", "--epochs", 2, cwd=tmp_path)
        assert "not a state to go on from" in says


# ---------------------------------------------------------------------------------- checkpoints


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    options = (*POINTS, "--epochs", 5, "--save_interval", 1, "--keep_checkpoints", 2)
    succeed("train.py", *options, "--save_every_minutes", 0.0001, cwd=tmp_path)
    names = sorted(path.name for path in (tmp_path / "outputs" / "checkpoints").iterdir())
    assert names == ["model_epoch_004.pt", "model_epoch_005.pt"]


def test_checkpoints_within_an_epoch(tmp_path):
    with start(*POINTS, "--epochs", 10**6, "--save_every_minutes", 0.005, cwd=tmp_path) as child:
        folder = tmp_path / "outputs" / "checkpoints"
        wait_for(folder, "model_step_*.pt")
        child.kill()
    assert len(list(folder.glob("model_step_*.pt"))) in (1, 2)  # 2: killed before it could tidy up
    succeed("sample.py", "--num_images", 5, "--steps", 2, cwd=tmp_path)


def test_checkpoints_between_epochs_that_are_shorter_than_a_reading(tmp_path):
    options = "--dataset line --num_points 100 --batch_size 100 --hidden_size 16".split()
    options = (*options, "--epochs", 10**6, "--save_every_minutes", 0.005)
    with start(*options, cwd=tmp_path) as child:
        folder = tmp_path / "outputs" / "checkpoints"
        wait_for(folder, "model_step_*.pt")
        child.kill()


# ---------------------------------------------------------------------------------- interrupts


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: a shell starts what runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_first_signal_asks_and_the_second_stops():
    with StopRequests() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---------------------------------------------------------------------------------- fail fast


def make_trainer(folder):
    options = (*POINTS, "--epochs", 3, "--save_interval", 1, "--output_dir", folder)
    return train.make_trainer(train.parse_arguments(list(map(str, options))))


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_spares_its_checkpoints(broken, tmp_path):
    trainer = make_trainer(tmp_path)
    eager = trainer.eager_loss

    def loss(*inputs):
        value = eager(*inputs)
        if trainer.step != 250:
            return value
        if broken == "loss":
            return value * float("nan")
        # Finite itself, but the derivative of a root at zero is not.
        return value + (value - value.detach()).abs().sqrt()

    trainer.batch_loss = loss
    says = "loss became nan" if broken == "loss" else "gradient's norm became nan"
    with pytest.raises(RunError, match=f"{says} at step 251 .learning rate"):
        trainer.run()
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == ["model_epoch_001.pt"]
    weights = load_checkpoint(tmp_path / "checkpoints" / files[0])["model"].values()
    assert all(bool(weight.isfinite().all()) for weight in weights)


def test_broken_weights_are_never_saved(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.started = time.perf_counter()
    trainer.save("model_epoch_001.pt")
    trainer.ema.averages[0][0] = float("inf")
    with pytest.raises(RunError, match="the weights are not finite"):
        trainer.save("model_epoch_001.pt")
    weights = load_checkpoint(tmp_path / "checkpoints" / "model_epoch_001.pt")["ema"].values()
    assert all(bool(weight.isfinite().all()) for weight in weights)


# ---------------------------------------------------------------------------------- concurrency


def test_two_runs_cannot_share_a_folder(tmp_path):
    with start(*POINTS, "--epochs", 10**6, cwd=tmp_path) as child:
        wait_for(tmp_path / "outputs", "config.json")
        assert f"process {child.pid}" in refuse("train.py", *POINTS, "--epochs", 1, cwd=tmp_path)
        succeed("train.py", *POINTS, "--epochs", 1, "--output_dir", "other", cwd=tmp_path)
        child.kill()
    shutil.rmtree(tmp_path / "other")
    done = run("train.py", *POINTS, "--epochs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "moved the earlier run" in done.stdout
