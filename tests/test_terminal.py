"""What a person at a terminal gets: voice, colours, errors."""

import contextlib
import io
import os
import re
import struct
import subprocess
import sys

import pytest
from scripts import REPOSITORY, run, succeed

from errors import InputError
from terminal import red

TRAIN = "--dataset line --num_points 100 --epochs 1 --hidden_size 8".split()
SCRIPTS = ("train.py", "sample.py", "visualize_diffusion.py", "evaluate.py")


def test_quiet_says_nothing_and_verbose_more(tmp_path):
    assert succeed("train.py", *TRAIN, "--quiet", cwd=tmp_path) == ""
    assert (tmp_path / "outputs" / "model_final.pt").exists()
    out = succeed("sample.py", "--steps", 2, "--verbose", cwd=tmp_path)
    assert re.search(r"^Python 3\.", out)
    assert "  --sampler ddpm" in out
    assert succeed("sample.py", "--steps", 2, "--quiet", cwd=tmp_path) == ""
    assert "quiet" not in (tmp_path / "outputs" / "config.json").read_text()


def test_errors_are_a_line_and_with_verbose_their_place_too(tmp_path):
    short = run("sample.py", "--quiet", cwd=tmp_path)
    assert (short.returncode, short.stdout, len(short.stderr.splitlines())) == (2, "", 1)
    long = run("sample.py", "--verbose", cwd=tmp_path)
    assert "Traceback" in long.stderr
    assert long.stderr.splitlines()[-1] == short.stderr.splitlines()[-1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colours_are_for_terminals(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert red("error:", Terminal()) == "\033[31merror:\033[0m"
    assert red("error:", io.StringIO()) == "error:"
    monkeypatch.setenv("NO_COLOR", "1")
    assert red("error:", Terminal()) == "error:"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_grouped_and_ends_with_three_examples_that_parse(script, tmp_path):
    command = [sys.executable, str(REPOSITORY / script), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert text.startswith(f"usage: {script} [options]\n")
    headings = re.findall(r"^([a-z ,]+):$", text, re.MULTILINE)
    assert len(headings) >= 5
    examples = re.findall(rf"^  python {script}(.*?)(?:   .*)?$", text, re.MULTILINE)
    assert len(examples) >= 3
    module = __import__(script.removesuffix(".py"))
    for example in examples:
        if "--resume" not in example:  # which looks for a checkpoint
            module.parse_arguments(example.split())


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_and_a_file_lines(tmp_path):
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, str(REPOSITORY / "train.py"), *TRAIN, "--seed", "1"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=follower, text=True)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way of saying that this is all
        while part := os.read(leader, 100_000):
            shown += part
    assert done.returncode == 0
    assert "epoch 1/1  loss" not in done.stdout
    assert "epoch 1/1:" in shown.decode()
    assert "epoch 1/1  loss" in succeed("train.py", *TRAIN, cwd=tmp_path)


@pytest.mark.parametrize(
    ("script", "option", "name"),
    [
        ("sample", "--output", "folder.png"),
        ("sample", "--export", "folder.safetensors"),
        ("visualize_diffusion", "--save_path", "folder.png"),
        ("visualize_diffusion", "--html", "folder.html"),
        ("evaluate", "--json", "folder.json"),
    ],
)
def test_an_output_that_is_a_folder_is_refused_before_the_work(script, option, name, tmp_path):
    (tmp_path / name).mkdir()
    parse = __import__(script).parse_arguments
    with pytest.raises(InputError, match="is a folder"):
        parse([option, str(tmp_path / name)])
