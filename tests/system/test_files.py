"""files.py: whole files, folders that belong to one run, what killed processes leave behind."""

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import REPOSITORY

import system.files
from system.errors import InputError, RunError
from system.files import (
    WRITTEN,
    atomic_write,
    check_writable,
    locked,
    remove_leftovers,
    set_earlier_run_aside,
    temporary_name,
    write_json,
)


def test_atomic_write_replaces_whole_files_only(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"

    def fail_half_way() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail_half_way()
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file.txt"]


def test_check_writable(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write into"):
        check_writable(tmp_path / "file" / "sub")


def test_earlier_runs_are_moved_aside_and_kept(tmp_path):
    assert set_earlier_run_aside(tmp_path) is None
    (tmp_path / "forward_diffusion.png").write_text("not of a run")
    for number in (1, 2):
        (tmp_path / "samples").mkdir()
        (tmp_path / "samples" / "epoch_001.png").write_text(f"run {number}")
        assert set_earlier_run_aside(tmp_path) == tmp_path / f"earlier_{number:03d}"
    kept = [tmp_path / f"earlier_{n:03d}" / "samples" / "epoch_001.png" for n in (1, 2)]
    assert [path.read_text() for path in kept] == ["run 1", "run 2"]
    assert (tmp_path / "forward_diffusion.png").exists()


def test_leftovers_of_the_dead_go_and_all_else_stays(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    dead, alive = str(child.pid), str(os.getpid())
    leftovers = [
        temporary_name(tmp_path / name, dead)
        for name in ("model_final.pt", "checkpoints/model_epoch_003.pt", "samples/epoch_001.png")
    ]
    others = [
        temporary_name(tmp_path / "model_final.pt", alive),
        temporary_name(tmp_path / "model_final.pt", "9" * 20),  # no number of a process
        temporary_name(tmp_path / "model_final.pt", "x"),
        temporary_name(tmp_path / "notes.txt", dead),
        temporary_name(tmp_path / "other" / "notes.txt", dead),
        temporary_name(tmp_path / "other" / "model_final.pt", dead),
        tmp_path / ".tmp.notes",
    ]
    for path in (*leftovers, *others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    folder = temporary_name(tmp_path / "history.csv", dead)
    folder.mkdir()
    remove_leftovers(tmp_path)
    assert not [path for path in leftovers if path.exists()]
    assert [path for path in (*others, folder) if path.exists()] == [*others, folder]


def test_what_a_killed_run_leaves_is_removed(tmp_path):
    """The names that are looked for are those that `atomic_write` makes."""
    for name in WRITTEN:
        path = tmp_path / name.replace("*", "001")
        write = (
            "import os, sys, pathlib, system.files\n"
            "with system.files.atomic_write(pathlib.Path(sys.argv[1])) as temporary:\n"
            "    temporary.touch()\n"
            "    os._exit(0)\n"
        )
        subprocess.run([sys.executable, "-c", write, str(path)], check=True, cwd=REPOSITORY)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(WRITTEN)
    remove_leftovers(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_earlier_run_that_cannot_be_moved_stays_whole(tmp_path, monkeypatch):
    for name in ("config.json", "history.csv", "model_final.pt"):
        (tmp_path / name).write_text(name)
    rename = Path.rename

    def busy(path, target):
        if path.name == "history.csv":
            raise PermissionError(errno.EACCES, "in use", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(InputError, match=r"in use: .*history\.csv"):
        set_earlier_run_aside(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "history.csv", "model_final.pt"]


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
from system.files import locked
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


def test_json_is_readable_by_people(tmp_path):
    write_json(tmp_path / "config.json", {"epochs": 3, "lr": 0.1})
    assert (tmp_path / "config.json").read_text() == '{\n  "epochs": 3,\n  "lr": 0.1\n}\n'


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


# ------------------------------------------------------------- file systems that cannot do it all


def failing(number: int, times: float = math.inf, kind: type[OSError] = OSError):
    """What stands in for a system call: it fails so many times, then does nothing."""
    calls = []

    def call(*_: object) -> None:
        calls.append(1)
        if len(calls) <= times:
            raise kind(number, os.strerror(number))

    return call


@pytest.mark.skipif(sys.platform == "win32", reason="locks with msvcrt")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_without_locks_a_run_goes_on_and_says_so(number, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(system.files.fcntl, "flock", failing(number))
    with locked(tmp_path):
        write_json(tmp_path / "config.json", {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert "cannot be locked" in said[0]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_flushed_is_no_reason_to_stop(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(number))
    write_json(tmp_path / "config.json", {"lr": 1})
    assert json.loads((tmp_path / "config.json").read_text()) == {"lr": 1}


def test_a_disk_that_fails_while_flushing_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("old")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_json(tmp_path / "config.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "old"


@pytest.mark.parametrize("moments", [2, math.inf])
def test_a_file_that_is_open_elsewhere_is_replaced_later_or_written_beside(
    moments, tmp_path, monkeypatch, capsys
):
    """As on Windows, where a spreadsheet keeps others from replacing the file that it shows."""
    path, beside = tmp_path / "history.csv", tmp_path / "history.new.csv"
    path.write_text("old")
    replace, busy = os.replace, failing(errno.EACCES, moments, PermissionError)

    def replace_if_free(source, target) -> None:
        if target == path:
            busy()
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_if_free)
    monkeypatch.setattr(system.files, "PAUSE", 0)
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    if moments == 2:
        assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])
        assert capsys.readouterr().err == ""
    else:
        assert (path.read_text(), beside.read_text()) == ("old", "new")
        assert str(beside) in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))
