"""Several processes for one task, as started by torchrun."""

import csv
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scripts import REPOSITORY, assert_picture, run_together, succeed

import train
from system.distributed import Group, join
from system.errors import InputError

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="PyTorch without torch.distributed"
)
TRAIN = "--dataset digits --subset 480 --base_channels 8 --num_samples 4 --precision fp32".split()


def torchrun(processes: int, script: str, *arguments: object, cwd, code: int = 0):
    command = (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc_per_node={processes}", script, *arguments),
    )
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode == 0) == (code == 0), done.stderr
    return done


def together(processes: int, script: str, *arguments: object, cwd) -> str:
    """Run a script in processes that find each other as those of torchrun do, without the seconds
    that it takes each of them to import PyTorch; what all of them print."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    job["OMP_NUM_THREADS"] = "1"
    ranks = [{**job, "RANK": str(k), "LOCAL_RANK": str(k)} for k in range(processes)]
    done = run_together(ranks, script, *arguments, cwd=cwd)
    assert [one.returncode for one in done] == [0] * processes, done[0].stderr + done[-1].stderr
    return "".join(one.stdout for one in done)


def losses(folder) -> np.ndarray:
    with (folder / "outputs" / "history.csv").open() as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


RANKS = """
import sys
import torch, train
from system.distributed import join
args = train.parse_arguments(sys.argv[1:])
with join(torch.device("cpu")) as group:
    trainer = train.make_trainer(args, group)
    trainer.train()
    run = trainer.run
    parameters = [*run.model.parameters(), *run.ema.averages]
    weights = torch.cat([p.detach().flatten() for p in parameters])
    torch.save(weights, f"rank{group.rank}.pt")
"""


def test_all_processes_end_with_the_same_weights(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    script = str(tmp_path / "ranks.py")
    together(2, script, *TRAIN, "--batch_size", 40, "--epochs", 1, cwd=tmp_path)
    one, other = (torch.load(tmp_path / f"rank{k}.pt") for k in (0, 1))
    assert torch.equal(one, other)


def test_two_processes_train_like_one_with_twice_the_batch(tmp_path):
    """With dropout too: each process takes its part of one mask."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    epochs = ("--epochs", 3, "--save_interval", 1, "--dropout", 0.3)
    succeed("train.py", *TRAIN, *epochs, "--batch_size", 40, cwd=one)
    out = together(2, "train.py", *TRAIN, *epochs, "--batch_size", 20, cwd=two)
    assert "in 2 processes" in out
    assert out.count("wrote outputs") == 1
    assert len(losses(one)) == len(losses(two)) == 36
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-3)
    # Its last epoch again, in one process.
    last = "outputs/checkpoints/model_epoch_002.pt"
    succeed("train.py", "--resume", last, "--batch_size", 40, cwd=two)
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-3)

    options = ("--num_images", 50, "--batch_size", 8, "--sampler", "ddpm", "--steps", 5)
    succeed("sample.py", *options, "--output", "alone.npy", cwd=two)
    out = together(2, "sample.py", *options, "--output", "shared.npy", "--gif", cwd=two)
    assert out.count("wrote") == 1
    assert np.array_equal(np.load(two / "alone.npy"), np.load(two / "shared.npy"))
    assert_picture(two / "shared.gif")


def test_two_processes_tune_like_one_with_twice_the_batch(tmp_path):
    """With guidance and dropout; the timesteps and their pairs are those of the whole batch."""
    succeed(
        "train.py", *TRAIN, "--class_conditional", "--epochs", 1, "--dropout", 0.3, cwd=tmp_path
    )
    tune = ("--consistency", "outputs/model_final.pt", "--guidance", 1.5, "--epochs", 2)
    succeed("train.py", *tune, "--batch_size", 40, "--output_dir", "one/outputs", cwd=tmp_path)
    together(
        *(2, "train.py", *tune, "--batch_size", 20, "--output_dir", "two/outputs"), cwd=tmp_path
    )
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 24
    np.testing.assert_allclose(two, one, rtol=2e-3)

    options = ("--checkpoint", "two/outputs/model_final.pt", "--num_images", 50, "--batch_size", 8)
    succeed("sample.py", *options, "--output", "alone.npy", cwd=tmp_path)
    together(2, "sample.py", *options, "--output", "shared.npy", cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "alone.npy"), np.load(tmp_path / "shared.npy"))


def test_two_processes_learn_jumps_like_one_with_twice_the_batch(tmp_path):
    command = (*TRAIN, "--class_conditional", "--objective", "shortcut", "--epochs", 1)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    succeed("train.py", *command, "--batch_size", 40, cwd=tmp_path / "one")
    together(2, "train.py", *command, "--batch_size", 20, cwd=tmp_path / "two")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) > 5
    np.testing.assert_allclose(two, one, rtol=2e-3)


def test_too_few_examples_for_the_processes_are_refused(monkeypatch):
    monkeypatch.setattr(Group, "wait", lambda group: None)
    args = train.parse_arguments(["--dataset", "dino", "--num_points", "3"])
    with pytest.raises(InputError, match="3 examples are too few for 4 processes"):
        train.make_trainer(args, Group(0, 4))


@pytest.mark.slow
def test_a_process_that_dies_ends_the_job(tmp_path):
    """With torchrun itself, which ends the other processes."""
    (tmp_path / "dies.py").write_text(
        "import os, sys\n"
        "import cli.terminal, train\n"
        "from training.loop import Trainer\n"
        "step = Trainer.step\n"
        "def failing(trainer, *arguments):\n"
        "    if trainer.run.step == 5 and trainer.run.group.rank == 1:\n"
        "        os._exit(3)\n"
        "    return step(trainer, *arguments)\n"
        "Trainer.step = failing\n"
        "cli.terminal.run(train.main)\n"
    )
    start = time.monotonic()
    done = torchrun(2, "dies.py", *TRAIN, "--epochs", 1000, cwd=tmp_path, code=1)
    assert time.monotonic() - start < 100
    assert "exitcode  : 3" in done.stderr


def test_a_process_alone_exchanges_nothing():
    group, values = Group(), torch.tensor([1.0, 2.0])
    group.wait()
    with group.leader_first():
        assert group.leads
    assert torch.equal(group.mean(values), values)
    assert group.largest(3) == 3
    assert torch.equal(group.gather(values, [2]), values)


def test_a_number_of_processes_that_nobody_started_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="RANK, MASTER_ADDR, MASTER_PORT"):
        join(torch.device("cpu")).__enter__()
    monkeypatch.setenv("WORLD_SIZE", "1")
    with join(torch.device("cpu")) as group:
        assert group == Group()
