"""Running the scripts as a person does: as processes, in some folder."""

import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

REPOSITORY = Path(__file__).parent.parent


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in `cwd`, as a person does who has cd-ed to some folder."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
    )


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
    """The file opens as a picture that is not blank."""
    picture = iio.imread(path)
    assert picture[..., :3].std() > 5, f"{path} is blank"
    return picture
