"""The lessons of examples/ run from top to bottom, and the example configurations are accepted.

Every notebook is executed twice. The fast tests run it with a tenth of its training steps, all in
one kernel that is emptied in between, since PyTorch takes longer to import than most lessons take
without training. What a lesson writes out by hand and asserts must hold there too; lessons assert
nothing about how good samples are. The tests marked slow run a notebook as it is, in a kernel of
its own, from the folder examples/. In both the files go to a folder of the test.
"""

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from train import parse_arguments

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if path.stem != "solutions"]
LARGEST = 60_000  # bytes of a notebook
# How long a lesson trains stands in lines like `steps = 400`.
LENGTH = re.compile(r"^(\w*steps|epochs) = (\d+)$", re.MULTILINE)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def sources(notebook: NotebookNode, kind: str) -> list[str]:
    """The texts of all cells of a kind, `code` or `markdown`."""
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def prepared(path: Path, folder: Path) -> NotebookNode:
    """A notebook whose files go to `folder`."""
    notebook = read(path)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert re.search(r"^folder = ", first.source, re.MULTILINE)
    first.source += f'\nfolder = Path(r"{folder}")'
    return notebook


def check_pictures(notebook: NotebookNode, folder: Path) -> None:
    """Every cell that ends by showing a picture has shown it, from a file in `folder`."""
    promised = 0
    for cell in notebook.cells:
        if cell.cell_type != "code" or not cell.source.splitlines()[-1].startswith("Image("):
            continue
        promised += 1
        (shown,) = (one for one in cell.outputs if one.output_type == "execute_result")
        assert len(shown.data["image/png"]) > 1000
    assert promised > 0
    assert len(list(folder.glob("*.png"))) >= promised


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelManager]:
    """One kernel for several notebooks, which starts in the root of the repository."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(ROOT))
    yield manager
    manager.shutdown_kernel(now=True)


def test_there_are_seven_lessons_and_their_solutions():
    assert [path.stem[:2] for path in LESSONS] == [f"{number}_" for number in range(1, 8)]
    assert len(NOTEBOOKS) == 8


@every_notebook
def test_a_notebook_runs_with_fewer_steps(path, kernel, tmp_path):
    notebook = prepared(path, tmp_path)
    for cell in notebook.cells:
        cell.source = LENGTH.sub(
            lambda found: f"{found[1]} = {max(1, int(found[2]) // 10)}", cell.source
        )
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, timeout=300, km=kernel).execute()
    check_pictures(notebook, tmp_path)


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs_in_full(path, tmp_path):
    notebook = prepared(path, tmp_path)
    resources = {"metadata": {"path": str(EXAMPLES)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    check_pictures(notebook, tmp_path)


@every_notebook
def test_a_notebook_imports_what_there_is(path):
    for node in ast.walk(ast.parse("\n".join(sources(read(path), "code")))):
        if isinstance(node, ast.Import):
            for name in node.names:
                import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)


@every_notebook
def test_a_notebook_is_small_and_stored_without_outputs(path):
    assert path.stat().st_size < LARGEST
    notebook = read(path)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@every_notebook
def test_a_notebook_begins_with_a_title_and_its_links_lead_somewhere(path):
    texts = sources(read(path), "markdown")
    assert texts[0].startswith("# ")
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(texts)):
        if "://" not in target:
            assert (EXAMPLES / target.partition("#")[0]).exists()


@every_lesson
def test_a_lesson_compares_what_is_by_hand_with_the_library(path):
    code = "\n".join(sources(read(path), "code"))
    assert len(re.findall(r"^ *(?:assert |assert_close\()", code, re.MULTILINE)) >= 2


@every_lesson
def test_a_lesson_has_three_exercises_and_each_is_solved(path):
    number = path.stem[0]
    _, _, exercises = "\n".join(sources(read(path), "markdown")).partition("\n## Exercises\n")
    assert re.findall(r"^(\d+)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]
    solutions = "\n".join(sources(read(EXAMPLES / "solutions.ipynb"), "markdown"))
    solved = re.findall(rf"^### ({number}\.\d+)$", solutions, re.MULTILINE)
    assert solved == [f"{number}.{k}" for k in (1, 2, 3)]


def test_the_readme_of_the_examples_names_every_file():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in (*NOTEBOOKS, *EXAMPLES.glob("*.json"), *EXAMPLES.glob("*.csv")):
        assert path.name in text


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_example_configurations_are_accepted(path):
    args = parse_arguments(["--config", str(path)])
    for name, value in json.loads(path.read_text()).items():
        assert getattr(args, name) == value
