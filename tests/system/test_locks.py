"""locks.py: folders are used by one run at a time, and are not recreated when deleted."""

import errno
import os
import subprocess
import sys

import pytest

import system.locks
from system.errors import InputError, RunError
from system.files import write_json
from system.locks import locked


def test_a_lock_that_is_a_link_leaves_its_target_alone(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="not a plain file"), locked(tmp_path / "outputs"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


HOLD = """
import sys, time
from pathlib import Path
from system.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_belongs_to_one_process_until_that_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {child.pid}"), locked(tmp_path):
            pass
        child.kill()
    with locked(tmp_path):  # a dead process holds nothing, though its file is still there
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    with locked(tmp_path):
        pass


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    run, moved = tmp_path / "run", tmp_path / "moved"
    run.mkdir()
    with locked(run):
        write_json(run / "samples" / "a.json", {})
        run.rename(moved)
        with pytest.raises(RunError, match="deleted or renamed"):
            write_json(run / "samples" / "b.json", {})
        assert not run.exists()
        run.mkdir()  # by another run, maybe
        with pytest.raises(RunError, match="deleted or renamed"):
            write_json(run / "b.json", {})
        write_json(tmp_path / "other" / "b.json", {})
    assert list(run.iterdir()) == []
    write_json(run / "b.json", {})


def test_a_run_stops_when_its_folder_is_gone(tmp_path, monkeypatch):
    import train
    import training.batches
    from system.distributed import Group

    options = "--dataset line --num_points 100 --epochs 5 --sample_interval 1 --hidden_size 8"
    folder = tmp_path / "run"
    args = train.parse_arguments([*options.split(), "--output_dir", str(folder)])
    of_epoch = training.batches.Batches.of_epoch
    epochs = []

    def disturbed(batches):
        yield from of_epoch(batches)
        epochs.append(batches)
        if len(epochs) == 2:
            folder.rename(tmp_path / "moved")

    monkeypatch.setattr(training.batches.Batches, "of_epoch", disturbed)
    with pytest.raises(RunError, match="deleted or renamed"):
        train.train(args, Group())
    assert not folder.exists()
    assert (tmp_path / "moved" / "samples" / "epoch_001.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="locks with msvcrt")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_without_locks_a_run_goes_on_and_says_so(number, tmp_path, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(system.locks.fcntl, "flock", fail)
    with locked(tmp_path):
        write_json(tmp_path / "config.json", {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert "cannot be locked" in said[0]
