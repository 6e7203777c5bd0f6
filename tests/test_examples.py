"""The notebook runs from top to bottom, and the example configurations are accepted."""

import ast
import json
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from train import parse_arguments

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_notebook_imports_what_there_is():
    notebook = nbformat.read(EXAMPLES / "training_example.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)


@pytest.mark.slow
def test_notebook_runs(tmp_path):
    path = EXAMPLES / "training_example.ipynb"
    assert path.stat().st_size < 300_000
    notebook = nbformat.read(path, as_version=4)
    # The test needs to see that it runs, not good samples: a tenth of the training steps.
    for cell in notebook.cells:
        cell.source = cell.source.replace("steps=1500", "steps=150").replace("=2500", "=250")
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(EXAMPLES.parent)}}
    )
    notebook.cells[1].source += f'\npictures = Path(r"{tmp_path}")'
    client.execute()
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(images) == 5
    assert (tmp_path / "cat_samples.csv").read_text().startswith("x,y\n")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_example_configurations_are_accepted(path):
    args = parse_arguments(["--config", str(path)])
    for name, value in json.loads(path.read_text()).items():
        assert getattr(args, name) == value
