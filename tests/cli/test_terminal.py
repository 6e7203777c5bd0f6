"""What a person at a terminal gets: more or less text, colours, errors."""

import contextlib
import io
import os
import re
import struct
import subprocess
import sys

import pytest
from scripts import REPOSITORY, run, succeed

from cli.terminal import red
from system.errors import InputError, one_line

TRAIN = "--dataset line --num_points 100 --epochs 1 --hidden_size 8".split()
SCRIPTS = ("train.py", "sample.py", "visualize_diffusion.py", "evaluate.py")


def test_quiet_says_nothing_and_verbose_more(tmp_path):
    assert succeed("train.py", *TRAIN, "--quiet", cwd=tmp_path) == ""
    assert (tmp_path / "outputs" / "model_final.pt").exists()
    out = succeed("sample.py", "--steps", 2, "--verbose", cwd=tmp_path)
    assert re.search(r"^Python 3\.", out)
    assert "  sampler = ddpm" in out
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
    command = [sys.executable, str(REPOSITORY / script), "--help_all"]
    text = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert text.startswith(f"usage: {script} [options]\n")
    headings = re.findall(r"^([a-z ,]+):$", text, re.MULTILINE)
    assert len(headings) >= 5
    examples = re.findall(rf"^  python {script}(.*?)(?:   .*)?$", text, re.MULTILINE)
    assert len(examples) >= 3
    module = __import__(script.removesuffix(".py"))
    for example in examples:
        if not {"--resume", "--consistency"} & set(example.split()):  # which look for a checkpoint
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


# -------------------------------------------------------------------------------- odd places


def start(body: str, *arguments: str, shell: str = "", **options) -> subprocess.Popen[str]:
    """A script that imports nothing heavy, with this body of its main function.

    Args:
        shell: what a shell should do with the streams of the process.
    """
    code = f"import sys, cli.terminal as terminal\ndef main():\n    {body}\nterminal.run(main)"
    command = [sys.executable, "-c", code, *arguments]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **options.pop("env", {})}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, text=True, env=environment, **pipes, **options)


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("shell", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(shell, tmp_path):
    body = (
        "file = open('file', 'w'); print('a'); print('b', file=sys.stderr); sys.stderr.flush();"
        "file.write(f'{file.fileno() > 2} {sys.stderr.isatty()}')"
    )
    with start(body, shell=shell, cwd=tmp_path) as child:
        child.communicate()
    assert child.returncode == 0
    # A file must not get the number of a stream, or else what C libraries print goes into it.
    assert (tmp_path / "file").read_text() == "True False"


def test_names_that_the_terminal_cannot_show_are_printed_all_the_same(tmp_path):
    body = "print('\\udcff \\xe9'); print('\\udcff', file=sys.stderr)"
    with start(body, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}) as child:
        out, err = child.communicate()
    assert (child.returncode, out, err) == (0, "\\udcff \\xe9\n", "\\udcff\n")
    with start(body, "--quiet", cwd=tmp_path) as child:
        child.communicate()
    assert child.returncode == 0


def test_a_script_that_nobody_listens_to_goes_on_to_its_end(tmp_path):
    """As in `train.py | head -1`."""
    body = (
        "print('first', flush=True); input();"
        "[print('more') for _ in range(100_000)]; print('last', flush=True); open('end', 'w')"
    )
    with start(body, cwd=tmp_path) as child:
        assert child.stdout.readline() == "first\n"
        child.stdout.close()
        child.stdin.write("\n")
        child.stdin.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0
    assert (tmp_path / "end").exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('one\\ntwo')", r"unexpected ValueError: one\ntwo"),
        ("raise RuntimeError('three')", "unexpected RuntimeError: three"),
        ("raise MemoryError", "out of memory"),
        ("{}['key']", "unexpected KeyError"),
    ],
)
def test_what_nobody_expected_is_a_line_too(body, says, tmp_path):
    short, long = start(body, cwd=tmp_path), start(body, "--verbose", cwd=tmp_path)
    with short, long:
        said, more = short.communicate()[1], long.communicate()[1]
    assert (short.returncode, long.returncode) == (1, 1)
    assert len(said.splitlines()) == 1
    assert says in said
    assert more.splitlines()[-1] == said.rstrip()
    assert "Traceback" in more


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_what_it_needs_a_script_says_how_to_get_it(script, tmp_path):
    """-S hides installed packages; -OO removes docstrings, which --help is made of."""
    command = [sys.executable, "-S", "-OO", str(REPOSITORY / script)]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert "--help_all" in done.stdout
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pip install -r requirements.txt" in done.stderr


def test_messages_are_bounded_lines():
    assert one_line("ä: a\nb\x1b[31m\udcff") == r"ä: a\nb\x1b[31m\udcff"
    long = one_line("head" + "x" * 10**6 + "tail")
    assert len(long) < 1100
    assert long.startswith("head")
    assert long.endswith("tail")


def test_pictures_do_not_depend_on_settings_of_matplotlib(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\n")
    body = (
        "import plots; from matplotlib import rcParams;"
        "print(rcParams['text.usetex'], rcParams['axes.facecolor'])"
    )
    with start(body, cwd=tmp_path, env={"MPLBACKEND": "nosuch"}) as child:
        out, err = child.communicate()
    assert (out, err) == ("False white\n", "")
