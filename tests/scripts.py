"""Running the scripts as a person does: as processes, in some folder.

Importing PyTorch takes longer than most of what the tests ask for. So where the system can fork,
each script starts as a copy of a process that has imported everything and done nothing else.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 200  # seconds
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
if FORKS:
    processes = multiprocessing.get_context("forkserver")
    libraries = ["torch", "torch._dynamo", "matplotlib.figure", "imageio.v3", "tqdm", "numpy"]
    processes.set_forkserver_preload(libraries)


def be_script(
    script: str, arguments: list[str], cwd: str, environment: dict[str, str], out: str, err: str
) -> None:
    """In a new process: become the script, with its output in the files `out` and `err`."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if threads := environment.get("OMP_NUM_THREADS"):  # which PyTorch has read before
        import torch

        torch.set_num_threads(int(threads))
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    sys.argv = [script, *arguments]
    sys.path[:1] = [str(Path(script).parent), str(REPOSITORY)]
    runpy.run_path(script, run_name="__main__")


def run(script: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script in `cwd`, as a person does who has cd-ed to some folder."""
    return run_together([{}], script, *arguments, cwd=cwd)[0]


def run_together(
    environments: list[dict[str, str]], script: str, *arguments: object, cwd: Path
) -> list["subprocess.CompletedProcess[str]"]:
    """Run a script in several processes at once, which differ in their environment only."""
    begin = fork if FORKS else spawn
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for k, environment in enumerate(environments):
            files = Path(folder, f"out{k}"), Path(folder, f"err{k}")
            state = (script, arguments, cwd, *files, environment)
            started.append((begin(*state), files))
        done = []
        for wait, files in started:
            code = wait()
            texts = (file.read_text() if file.exists() else "" for file in files)
            done.append(subprocess.CompletedProcess([script, *arguments], code, *texts))
        return done


def start(
    script: str,
    arguments: Sequence[object],
    cwd: Path,
    out: Path,
    err: Path,
    environment: Mapping[str, str] | None = None,
    become: Callable[..., None] = be_script,
) -> multiprocessing.Process:
    """Start a script as a copy of the prepared process, see `be_script`.

    Args:
        environment: what is different in it from this process's.
    """
    options, environment = list(map(str, arguments)), {**os.environ, **(environment or {})}
    state = (str(REPOSITORY / script), options, str(cwd), environment, str(out), str(err))
    child = processes.Process(target=become, args=state)
    child.start()
    return child


def fork(*state: Any) -> Callable[[], int]:
    """Start a script as a copy of the prepared process; what waits for its exit code."""
    child = start(*state)

    def wait() -> int:
        child.join(PATIENCE)
        if child.is_alive():
            child.kill()
            raise TimeoutError(f"{state[:2]} took more than {PATIENCE} seconds")
        return child.exitcode

    return wait


class Running:
    """A script that runs beside a test, which may send it signals. Leaving the block waits for its
    end."""

    def __init__(self, script: str, *arguments: object, cwd: Path) -> None:
        self.files = tempfile.TemporaryDirectory()
        out, self.err = (Path(self.files.name, name) for name in ("out", "err"))
        self.child = start(script, arguments, cwd, out, self.err)
        self.pid = self.child.pid

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def send(self, signal: int) -> None:
        os.kill(self.pid, signal)

    def wait(self) -> tuple[int, str]:
        """Its exit code, negative if a signal ended it, and what it wrote to stderr."""
        self.child.join(PATIENCE)
        return self.child.exitcode, self.err.read_text() if self.err.exists() else ""


def spawn(
    script: str,
    arguments: Sequence[object],
    cwd: Path,
    out: Path,
    err: Path,
    environment: Mapping[str, str],
) -> Callable[[], int]:
    """Start a script as a process from nothing; what waits for its exit code."""
    with out.open("w") as stdout, err.open("w") as stderr:
        child = subprocess.Popen(
            [sys.executable, str(REPOSITORY / script), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **environment},
            stdout=stdout,
            stderr=stderr,
        )
    return lambda: child.wait(PATIENCE)


def succeed(script: str, *arguments: object, cwd: Path) -> str:
    done = run(script, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refuse(script: str, *arguments: object, cwd: Path, code: int = 2) -> str:
    """Run a script that must end with `code` and one or two lines on stderr."""
    done = run(script, *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
    return done.stderr


def assert_picture(path: Path) -> np.ndarray:
    """The file is there and opens as a picture; what is on it is tested where figures are made."""
    return iio.imread(path)
