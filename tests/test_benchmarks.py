"""The benchmarks, and the pictures of the README, take hours; here they only have to start."""

import pytest
from scripts import REPOSITORY, succeed

BENCHMARKS = [*sorted((REPOSITORY / "benchmarks").glob("*.py")), REPOSITORY / "docs" / "build.py"]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_help_says_what_is_measured(path, tmp_path):
    assert succeed(str(path), "--help", cwd=tmp_path).startswith("usage:")
    assert list(tmp_path.iterdir()) == []
