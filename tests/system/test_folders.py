"""folders.py: earlier runs are kept, and files left by killed processes are removed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import REPOSITORY

from system.errors import InputError
from system.files import temporary_name
from system.folders import WRITTEN, remove_leftovers, set_earlier_run_aside


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
    """The names that are searched for are those that `atomic_write` uses."""
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
