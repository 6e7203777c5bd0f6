"""CONTRIBUTING.md: its diffs apply, the added code works, and its list of layers is right."""

import re
import subprocess
import sys

import pytest
import test_layers
from copies import copy_repository
from scripts import REPOSITORY, succeed

GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block_after(title: str) -> str:
    """The first indented block below a heading."""
    return re.search(rf"^## {title}\n+((?:    .*\n)+)", GUIDE, re.MULTILINE)[1]


def recipes() -> list:
    """The diff of each section that has one, and the commands that try it."""
    found = []
    for section in re.split(r"^#+ ", GUIDE, flags=re.MULTILINE):
        title = section.partition("\n")[0]
        for diff, after in re.findall(r"```diff\n(.*?)```\n(.*)", section, re.DOTALL):
            commands = re.findall(r"^    python (.+)$", after, re.MULTILINE)
            found.append(pytest.param(diff, commands, id=title.split()[-1]))
    return found


RECIPES = recipes()


def test_each_idea_has_its_recipe():
    assert [recipe.id for recipe in RECIPES] == ["sampler", "network", "dataset", "objective"]
    assert all(commands for _, commands in (recipe.values for recipe in RECIPES))


@pytest.mark.parametrize(("diff", "commands"), RECIPES)
def test_a_toy_is_added_as_shown_and_works(diff, commands, tmp_path):
    house = copy_repository(tmp_path / "house")
    # A repository of its own, lest git look for one in the folders above.
    subprocess.run(["git", "init", "--quiet"], cwd=house, check=True)
    # Changes are found by the lines around them, wherever these have moved.
    apply = ["git", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(apply, cwd=house, input=diff.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    changed = re.findall(r"^\+\+\+ b/(.+)$", diff, re.MULTILINE)
    for check in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *check, *changed]
        done = subprocess.run(ruff, cwd=house, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for command in commands:
        script, *options = command.split()
        succeed(house / script, *options, cwd=tmp_path)
    assert (tmp_path / "outputs" / "generated_samples.png").is_file()


def test_the_picture_of_the_layers_is_the_one_that_is_tested():
    rows = [set(line.split()) for line in block_after("The layers").splitlines()]
    assert "cli" in rows[1]
    rows[1].remove("cli")  # which stands beside the rows
    assert rows == list(test_layers.ROWS)
