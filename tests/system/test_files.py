"""files.py: complete files, even if the file system does not support every operation."""

import errno
import json
import math
import os

import pytest

import system.files
from system.errors import InputError
from system.files import atomic_write, check_writable, write_json


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


def test_json_is_readable_by_people(tmp_path):
    write_json(tmp_path / "config.json", {"epochs": 3, "lr": 0.1})
    assert (tmp_path / "config.json").read_text() == '{\n  "epochs": 3,\n  "lr": 0.1\n}\n'


# ------------------------------------------------------------- file systems that cannot do it all


def failing(number: int, times: float = math.inf, kind: type[OSError] = OSError):
    """A substitute for a system call, which fails a number of times and then does nothing."""
    calls = []

    def call(*_: object) -> None:
        calls.append(1)
        if len(calls) <= times:
            raise kind(number, os.strerror(number))

    return call


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
    """As on Windows, where a file that is open in a spreadsheet cannot be replaced."""
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
