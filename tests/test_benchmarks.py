"""The benchmarks, and the pictures of the README, take hours; here they only have to start."""

import importlib.util

import pytest
from scripts import REPOSITORY, succeed
from studio import texts_above

BENCHMARKS = [*sorted((REPOSITORY / "benchmarks").glob("*.py")), REPOSITORY / "docs" / "build.py"]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_help_says_what_is_measured(path, tmp_path):
    assert succeed(str(path), "--help", cwd=tmp_path).startswith("usage:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("most", "ticks"), [(250, "5 10 20 50 100 250"), (100, "5 10 20 50 100")])
def test_the_picture_of_steps_ends_where_the_measurements_do(most, ticks, figures, tmp_path):
    spec = importlib.util.spec_from_file_location("steps", REPOSITORY / "benchmarks" / "steps.py")
    steps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(steps)
    measured = {("trailing", "ddim"): [(most, 0.2), (5, 1.5)], ("lambda", "ddim"): [(9, 0.9)]}
    steps.draw(measured, 0.1, tmp_path / "steps.png")
    axes = figures["steps"].axes[0]
    assert texts_above(axes) == ticks.split()  # they are below, in truth
    assert axes.get_xlim()[1] < 1.5 * most
    assert axes.lines[0].get_xydata().tolist() == [[5, 1.5], [most, 0.2]]
