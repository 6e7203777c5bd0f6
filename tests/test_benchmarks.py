"""The benchmarks, and the pictures of the README, take hours; here they only have to start."""

import subprocess
import sys

import pytest
from scripts import REPOSITORY

BENCHMARKS = [*sorted((REPOSITORY / "benchmarks").glob("*.py")), REPOSITORY / "docs" / "build.py"]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_help_says_what_is_measured(path, tmp_path):
    command = [sys.executable, str(path), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
    assert list(tmp_path.iterdir()) == []
