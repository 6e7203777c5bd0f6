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
from pathlib import Path

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
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    sys.argv = [script, *arguments]
    sys.path[0] = str(REPOSITORY)
    runpy.run_path(script, run_name="__main__")


def run(script: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script in `cwd`, as a person does who has cd-ed to some folder."""
    path, options = str(REPOSITORY / script), list(map(str, arguments))
    if not FORKS:
        return subprocess.run(
            [sys.executable, path, *options],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        state = (path, options, str(cwd), dict(os.environ))
        child = processes.Process(target=be_script, args=(*state, str(out), str(err)))
        child.start()
        child.join(PATIENCE)
        if child.is_alive():
            child.kill()
            raise TimeoutError(f"{script} {options} took more than {PATIENCE} seconds")
        texts = (file.read_text() if file.exists() else "" for file in (out, err))
        return subprocess.CompletedProcess([path, *options], child.exitcode, *texts)


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
