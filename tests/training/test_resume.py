"""Runs that end early, in every way, and are resumed as if without interruption."""

import csv
import json
import math
import os
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from scripts import FORKS, Running, refuse, run, succeed

import train
import training.history
from checkpoints import load_checkpoint
from system.distributed import Group
from system.errors import InputError, RunError
from system.interrupts import StopRequests
from training.history import History
from training.saving import remove_older

IMAGES = "--dataset digits --subset 400 --batch_size 8 --base_channels 8 --num_samples 4".split()
EXACT = "--precision fp32 --compile off --class_conditional".split()
POINTS = "--dataset line --num_points 2000 --batch_size 10 --hidden_size 16".split()


def losses(folder) -> list[tuple[str, ...]]:
    """The rows of history.csv without the times."""
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


def wait_for(folder, name: str) -> None:
    """Wait until the folder contains a file whose name matches the pattern."""
    deadline = time.monotonic() + 120
    while not list(folder.glob(name)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


needs_forks = pytest.mark.skipif(not FORKS, reason="signals go to copies of a prepared process")
RUN = (*IMAGES, *EXACT, "--epochs", 4, "--save_interval", 1, "--lr_schedule", "cosine")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    succeed("train.py", *RUN, cwd=folder)
    return folder


@needs_forks
@pytest.mark.parametrize(
    "stop",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(stop, whole, tmp_path):
    parts = tmp_path
    with Running("train.py", *RUN, cwd=parts) as child:
        wait_for(parts / "outputs" / "checkpoints", "model_epoch_002.pt")
        time.sleep(0.1)  # somewhere within the next epoch
        child.send(stop)
        code, stderr = child.wait()
    assert code == (-9 if stop == signal.SIGKILL else 128 + stop)
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
        assert "has already done" in refuse("train.py", *options, cwd=parts)
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
    for option, value in (("hidden_dims", "16"), ("schedule", "learned"), ("ema_decay", 0.5)):
        says = refuse("train.py", *more, f"--{option}", value, cwd=tmp_path)
        assert f"--{option} cannot change" in says
    assert "--config" in refuse("train.py", *more, "--config", "outputs/config.json", cwd=tmp_path)
    drawing.write_text("1,2\n3,4\n5,8\n")
    assert "data are not those" in refuse("train.py", *more, cwd=tmp_path)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A training checkpoint after the first of two epochs, in a folder of its own."""
    folder = tmp_path_factory.mktemp("state")
    options = (*POINTS, "--optimizer", "muon", "--epochs", 1, "--output_dir", folder)
    train.make_trainer(train.parse_arguments(list(map(str, options)))).train()
    return folder / "checkpoints" / "model_epoch_001.pt"


def changed(state, path, value):
    """A checkpoint in which the place `path` of the training state holds something else."""
    checkpoint = load_checkpoint(state)
    place = checkpoint["training"]
    *steps, last = path.split("/")
    for step in steps:
        place = place[int(step) if step.isdecimal() else step]
    last = int(last) if last.isdecimal() else last
    if value is None:
        del place[last]
    else:
        place[last] = value(place[last])
    torch.save(checkpoint, state.with_name("changed.pt"))
    return state.with_name("changed.pt")


def resume(checkpoint, folder):
    options = ("--resume", checkpoint, "--epochs", 2, "--output_dir", folder)
    return train.make_trainer(train.parse_arguments(list(map(str, options))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((name, None) for name in ("random", "optimizers", "order", "history", "elapsed", "step")),
        *((name, lambda _: "many") for name in ("step", "epoch", "seen", "elapsed", "optimizers")),
        *((name, lambda _: -1) for name in ("step", "epoch", "seen", "ema_updates")),
        *((name, lambda _: 10**12) for name in ("step", "seen")),
        *((name, lambda _: 1.5) for name in ("step", "epoch", "seen")),
        ("elapsed", lambda _: float("inf")),
        ("elapsed", lambda _: -1.0),
        ("order", lambda order: order[:3]),
        ("order", lambda order: order.float()),
        ("order", lambda order: order[None]),
        ("order", lambda order: order - 1),
        ("order", lambda order: order + 1),
        ("order", lambda order: order.clamp(min=1)),
        ("order", lambda order: order[:1].clone().expand(len(order))),
        ("history", lambda rows: rows[:, :5]),
        ("history", lambda rows: rows[:-1]),
        ("history", lambda rows: rows.float()),
        ("history", lambda rows: rows * float("inf")),
        ("history", lambda rows: rows[:1].clone().expand(rows.shape)),
        ("history", lambda rows: rows.to("meta")),
        ("random/cpu", None),
        ("random/cpu", lambda numbers: numbers[:-1]),
        ("random/cpu", lambda numbers: numbers.int()),
        ("optimizers/0", None),
        ("optimizers/1/state", None),
        ("optimizers/1/state/0", None),
        ("optimizers/1/state/0/exp_avg", None),
        ("optimizers/1/state/0/exp_avg", lambda average: average[:1]),
        ("optimizers/1/state/0/exp_avg", lambda average: average.to_sparse()),
        ("optimizers/1/state/0/exp_avg", lambda average: average.double()),
        ("optimizers/1/state/0/exp_avg_sq", lambda average: average * float("nan")),
        ("optimizers/1/state/0/step", lambda _: "one"),
        ("optimizers/0/state/0/average", lambda average: average.flatten()),
    ],
)
def test_a_state_that_is_not_whole_is_refused(path, value, state, tmp_path):
    with pytest.raises(InputError, match=r"changed\.pt cannot be read"):
        resume(changed(state, path, value), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [lambda _: [], lambda groups: [{"lr": "x"}] * len(groups)])
def test_what_the_code_knows_itself_is_not_taken_from_a_file(value, state, tmp_path):
    trainer = resume(changed(state, "optimizers/1/param_groups", value), tmp_path)
    whole = resume(state, tmp_path)
    assert (
        trainer.run.optimizers.all[1].state_dict()["param_groups"]
        == (whole.run.optimizers.all[1].state_dict()["param_groups"])
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_dims": [8192] * 100}, "too few"),
        ({"num_samples": 10**12}, "1 to 10000"),
        ({"num_points": 10**12}, "num_points must be"),
    ],
)
def test_resuming_builds_nothing_larger_than_the_file(change, says, state, tmp_path, capsys):
    checkpoint = load_checkpoint(state)
    checkpoint["config"] |= change
    torch.save(checkpoint, tmp_path / "huge.pt")
    try:
        resume(tmp_path / "huge.pt", tmp_path)
    except InputError as error:
        assert says in str(error)  # noqa: PT017  # or else the parser has said it
    except SystemExit:
        assert says in capsys.readouterr().err
    else:
        pytest.fail("it was not refused")


# ---------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("keep", [None, *range(1, 11)])
@pytest.mark.parametrize("last", ["model_epoch_012.pt", "model_step_0000130.pt"])
def test_only_the_newest_checkpoints_are_kept(keep, last, tmp_path):
    """In any order of writing, the last `keep` checkpoints written after an epoch are kept."""
    epochs = [f"model_epoch_{k:03d}.pt" for k in range(1, 12)]
    for k, name in enumerate((*epochs[:6], "model_step_0000065.pt", *epochs[6:], last)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000 + k, 1000 + k))
        remove_older(tmp_path / name, keep)
    names = sorted(path.name for path in tmp_path.iterdir())
    written = [*epochs, last] if "epoch" in last else epochs
    assert names == sorted({*(written if keep is None else written[-keep:]), last})


def test_what_was_just_written_stays_whatever_the_clock_says(tmp_path):
    for k, age in ((1, 0), (2, -(10**6)), (3, 10**6)):  # the second from a clock that runs ahead
        path = tmp_path / f"model_epoch_{k:03d}.pt"
        path.write_text("")
        os.utime(path, (10**9 - age, 10**9 - age))
    remove_older(path, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_keeps_as_many_checkpoints_as_it_should(tmp_path):
    options = (*POINTS, "--epochs", 5, "--save_interval", 1, "--keep_checkpoints", 2)
    succeed("train.py", *options, "--save_every_minutes", 0.0001, cwd=tmp_path)
    names = sorted(path.name for path in (tmp_path / "outputs" / "checkpoints").iterdir())
    assert names == ["model_epoch_004.pt", "model_epoch_005.pt"]


SHORT = "--dataset line --num_points 40 --batch_size 20 --hidden_size 4 --num_samples 4".split()


def run_in_process(*options):
    """Run train.py in the current folder."""
    args = train.parse_arguments(list(map(str, options)))
    train.train(args, Group())


def test_a_checkpoint_of_another_run_never_takes_a_folder_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_in_process(*SHORT, "--epochs", 2, "--save_interval", 1, "--seed", 1)
    run_in_process(*SHORT, "--epochs", 2, "--save_interval", 1, "--seed", 2)
    outputs = tmp_path / "outputs"
    first = (outputs / "earlier_001" / "model_final.pt").read_bytes()
    second = (outputs / "model_final.pt").read_bytes()
    assert first != second

    # The earlier run goes on, into the folder of the later one, which is set aside.
    earlier = "outputs/earlier_001/checkpoints/model_epoch_001.pt"
    run_in_process("--resume", earlier, "--output_dir", "outputs")
    assert (outputs / "earlier_002" / "model_final.pt").read_bytes() == second
    assert (outputs / "earlier_001" / "model_final.pt").read_bytes() == first
    assert json.loads((outputs / "config.json").read_text())["seed"] == 1

    # Likewise one that somebody has copied among its checkpoints.
    shutil.copy(
        outputs / "earlier_002/checkpoints/model_epoch_001.pt", outputs / "checkpoints/x.pt"
    )
    run_in_process("--resume", "outputs/checkpoints/x.pt")
    assert json.loads((outputs / "earlier_003" / "config.json").read_text())["seed"] == 1
    assert json.loads((outputs / "config.json").read_text())["seed"] == 2

    # Its own continues it in place, wherever it is looked at from.
    monkeypatch.chdir(outputs)
    run_in_process("--resume", "checkpoints/model_epoch_002.pt", "--output_dir", ".", "--epochs", 3)
    assert not (outputs / "earlier_004").exists()
    assert (outputs / "checkpoints" / "model_epoch_003.pt").exists()


@needs_forks
def test_checkpoints_within_an_epoch(tmp_path):
    with Running(
        "train.py", *POINTS, "--epochs", 10**6, "--save_every_minutes", 0.005, cwd=tmp_path
    ) as child:
        folder = tmp_path / "outputs" / "checkpoints"
        wait_for(folder, "model_step_*.pt")
        child.send(signal.SIGKILL)
    assert len(list(folder.glob("model_step_*.pt"))) in (1, 2)  # 2: killed before it could tidy up
    succeed("sample.py", "--num_images", 5, "--steps", 2, cwd=tmp_path)


@needs_forks
def test_checkpoints_between_epochs_that_are_shorter_than_a_reading(tmp_path):
    options = "--dataset line --num_points 100 --batch_size 100 --hidden_size 16".split()
    options = (*options, "--epochs", 10**6, "--save_every_minutes", 0.005)
    with Running("train.py", *options, cwd=tmp_path) as child:
        folder = tmp_path / "outputs" / "checkpoints"
        wait_for(folder, "model_step_*.pt")
        child.send(signal.SIGKILL)


# ---------------------------------------------------------------------------------- the record


def steps_recorded(folder) -> list[int]:
    with (folder / "history.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_the_record_is_written_after_every_epoch(tmp_path, monkeypatch):
    """Not only when samples are drawn, which is rare for points, unless it would take long."""
    options = (*SHORT, "--epochs", 4, "--sample_interval", 4, "--output_dir", tmp_path)
    found = []
    draw = History.draw

    def noting(self, folder):
        draw(self, folder)
        found.append(len(self.rows))

    monkeypatch.setattr(History, "draw", noting)
    monkeypatch.setattr(training.history, "LARGEST_SHARE", math.inf)
    train.make_trainer(train.parse_arguments(list(map(str, options)))).train()
    assert found == [2, 4, 6, 8]
    assert steps_recorded(tmp_path) == list(range(1, 9))
    found.clear()
    monkeypatch.setattr(training.history, "LARGEST_SHARE", 0.0)
    train.make_trainer(train.parse_arguments(list(map(str, options)))).train()
    assert found == [2, 8]  # the first and the last


@pytest.mark.parametrize("error", [KeyboardInterrupt, RunError, OSError])
def test_the_record_is_written_however_a_run_ends(error, tmp_path, monkeypatch):
    options = (*SHORT, "--epochs", 9, "--sample_interval", 9, "--output_dir", tmp_path)
    trainer = train.make_trainer(train.parse_arguments(list(map(str, options))))
    closed = []
    monkeypatch.setattr(training.history, "LARGEST_SHARE", 0.0)
    step = trainer.step

    def failing(*inputs):
        if trainer.run.step == 12:
            trainer.record.tensorboard = SimpleNamespace(close=lambda: closed.append(True))
            raise error("no more")
        return step(*inputs)

    trainer.step = failing
    with pytest.raises(error, match="no more"):
        trainer.train()
    assert steps_recorded(tmp_path) == list(range(1, 13))
    assert (tmp_path / "training_loss.png").stat().st_size > 1000
    assert closed == [True]


def test_an_error_of_the_record_does_not_hide_that_of_the_run(tmp_path, monkeypatch):
    options = (*SHORT, "--epochs", 9, "--sample_interval", 9, "--output_dir", tmp_path)
    trainer = train.make_trainer(train.parse_arguments(list(map(str, options))))

    def full(*_):
        raise OSError("disk full")

    closed = []

    def fail(*_):
        monkeypatch.setattr(History, "write", full)
        trainer.record.tensorboard = SimpleNamespace(close=lambda: closed.append(True))
        raise RunError("the loss became nan")

    monkeypatch.setattr(trainer, "step", fail)
    with pytest.raises(RunError, match="the loss became nan"):
        trainer.train()
    assert closed == [True]


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
    eager = trainer.loss

    def loss(*inputs):
        value = eager(*inputs)
        if trainer.run.step != 250:
            return value
        if broken == "loss":
            return value * float("nan")
        # Finite itself, but the derivative of a root at zero is not.
        return value + (value - value.detach()).abs().sqrt()

    trainer.loss = loss
    says = "loss became nan" if broken == "loss" else "gradient's norm became nan"
    with pytest.raises(RunError, match=f"{says} at step 251 .learning rate"):
        trainer.train()
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == ["model_epoch_001.pt"]
    weights = load_checkpoint(tmp_path / "checkpoints" / files[0])["model"].values()
    assert all(bool(weight.isfinite().all()) for weight in weights)


def test_broken_weights_are_never_saved(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.saver.save("model_epoch_001.pt")
    trainer.run.ema.averages[0][0] = float("inf")
    with pytest.raises(RunError, match="the weights are not finite"):
        trainer.saver.save("model_epoch_001.pt")
    weights = load_checkpoint(tmp_path / "checkpoints" / "model_epoch_001.pt")["ema"].values()
    assert all(bool(weight.isfinite().all()) for weight in weights)


# ---------------------------------------------------------------------------------- concurrency


@needs_forks
def test_two_runs_cannot_share_a_folder(tmp_path):
    with Running("train.py", *POINTS, "--epochs", 10**6, cwd=tmp_path) as child:
        wait_for(tmp_path / "outputs", "config.json")
        assert f"process {child.pid}" in refuse("train.py", *POINTS, "--epochs", 1, cwd=tmp_path)
        succeed("train.py", *POINTS, "--epochs", 1, "--output_dir", "other", cwd=tmp_path)
        child.send(signal.SIGKILL)
    shutil.rmtree(tmp_path / "other")
    done = run("train.py", *POINTS, "--epochs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "moved the earlier run" in done.stdout
