"""Imports go downwards only, without cycles, and heavy packages are imported only where allowed.

All imports are read from the code, those within functions and under TYPE_CHECKING as well.
"""

import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from scripts import REPOSITORY

SCRIPTS = {"train", "sample", "visualize_diffusion", "evaluate"}
# From top to bottom. What stands in a row may import the rows below it, but not its neighbours.
ROWS = (
    SCRIPTS,
    {"training", "sampling", "evaluation", "explorer"},
    {"plots", "checkpoints"},
    {"datasets", "models", "pretrained"},
    {"samplers", "guidance"},
    {"diffusion", "utils"},
    {"names"},
    {"system"},
)
# Beside them: the command line, which only scripts import.
# `--resume` reads its options from a checkpoint, which is imported only then.
CLI_IMPORTS = {"names", "system", "checkpoints"}
AT_THE_TOP = SCRIPTS | {"diffusion", "samplers", "guidance", "utils", "names"}
ABOVE = {"benchmarks", "docs", "tests"}  # import what they like, and nothing imports them

# Packages of others: which of our parts may import them.
ONLY_IN = {
    "matplotlib": {"plots"},
    "imageio": {"plots"},
    "torchvision": {"datasets"},
    "torch_fidelity": {"evaluation"},
    "argparse": SCRIPTS | {"cli", "system"},  # system.values raises its ArgumentTypeError
}
# What `--help` runs through: outside of functions it imports, at however many removes, nothing but
# the standard library and modules of ours.
LIGHT = SCRIPTS | {"names", "cli", "system.console", "system.errors", "system.files"}


class Import(NamedTuple):
    """`module` imports `target`; `early` if it does so as soon as it is imported itself."""

    module: str
    target: str
    line: int
    early: bool

    def __str__(self) -> str:
        path = paths()[self.module].relative_to(REPOSITORY).as_posix()
        return f"{path}:{self.line} imports {self.target}"


def paths() -> dict[str, Path]:
    """Every module of the project, by name."""
    known = set().union(*ROWS, {"cli"})
    files = {path for name in known for path in (REPOSITORY / name).rglob("*.py")}
    files |= set(REPOSITORY.glob("*.py"))
    return {name_of(path.relative_to(REPOSITORY)): path for path in files}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """The script, top-level module or package to which a module belongs."""
    return module.partition(".")[0]


def imports_of(module: str, code: str, known: set[str]) -> Iterator[Import]:
    """All imports in some code; for our own, the module rather than a name within it."""
    tree = ast.parse(code)
    late = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports here name the whole path"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in known else node.module for name in inner]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(module, target, node.lineno, node not in late)


def all_imports() -> list[Import]:
    known = paths()
    return [
        found
        for module, path in sorted(known.items())
        for found in imports_of(module, path.read_text(encoding="utf-8"), set(known))
    ]


def may_import(upper: str, lower: str) -> bool:
    """Whether one part of the project may import another."""
    if upper == lower:
        return True
    if upper == "cli":
        return lower in CLI_IMPORTS
    row = {part: k for k, parts in enumerate(ROWS) for part in parts}
    return upper in SCRIPTS if lower == "cli" else row[upper] < row[lower]


def circles(imports: list[Import]) -> set[frozenset[str]]:
    """Modules that import each other, in however many steps."""
    direct: dict[str, set[str]] = {}
    for found in imports:
        direct.setdefault(found.module, set()).add(found.target)

    def reached(module: str) -> set[str]:
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            new = direct.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    everything = {module: reached(module) for module in direct}
    return {
        frozenset(other for other in here if module in everything.get(other, ()))
        for module, here in everything.items()
        if module in here
    }


def listed(found: object) -> str:
    return "\n".join(sorted(map(str, found)))


def test_only_scripts_and_the_mathematics_stand_at_the_top():
    assert {path.stem for path in REPOSITORY.glob("*.py")} == AT_THE_TOP


def test_every_package_has_its_place():
    packages = {path.parent.name for path in REPOSITORY.glob("*/*.py")}
    packages = {name for name in packages if name.isidentifier()}  # not .venv and the like
    assert packages - {"build"} == set().union(*ROWS, {"cli"}, ABOVE) - AT_THE_TOP


def test_no_import_runs_upwards():
    parts = set().union(*ROWS, {"cli"})
    wrong = [
        found
        for found in all_imports()
        if part_of(found.target) in ABOVE
        or (
            part_of(found.target) in parts
            and not may_import(part_of(found.module), part_of(found.target))
        )
    ]
    assert not wrong, f"imports run downwards only:\n{listed(wrong)}"


def test_no_modules_import_each_other():
    found = [" <-> ".join(sorted(circle)) for circle in circles(all_imports())]
    assert not found, f"circles of imports:\n{listed(found)}"


def test_packages_of_others_are_imported_where_they_belong():
    wrong = [
        f"{found}, which belongs into {', '.join(sorted(ONLY_IN[part_of(found.target)]))}"
        for found in all_imports()
        if part_of(found.module) not in ONLY_IN.get(part_of(found.target), {part_of(found.module)})
    ]
    assert not wrong, listed(wrong)


def test_help_imports_nothing_heavy():
    known = paths()
    early = [found for found in all_imports() if found.early]
    light = {module for module in known if module in LIGHT or part_of(module) in LIGHT}
    while new := {one.target for one in early if one.module in light} & set(known) - light:
        light |= new
    wrong = [
        found
        for found in early
        if found.module in light
        and found.target not in known
        and part_of(found.target) not in sys.stdlib_module_names
    ]
    assert not wrong, f"--help would wait for these:\n{listed(wrong)}"


# ------------------------------------------------------------------------- the tests' own tests


def test_rows_know_each_part_once():
    assert sum(map(len, ROWS)) == len(set().union(*ROWS))
    for upper, lower in pairwise(ROWS):
        assert all(may_import(a, b) and not may_import(b, a) for a in upper for b in lower)
        assert not any(may_import(a, b) for a in lower for b in lower if a != b)
    assert may_import("train", "cli")
    assert may_import("cli", "system")
    assert not may_import("cli", "plots")
    assert not may_import("training", "cli")


def test_imports_are_found_wherever_they_stand():
    code = """
import torch.nn, datasets.units
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from plots import images, Figure
def f():
    from models import unet
try:
    import utils as u
except ImportError:
    pass
"""
    known = {"datasets", "datasets.units", "plots", "plots.images", "models", "models.unet"}
    found = list(imports_of("sample", code, known))
    early = {"torch.nn", "datasets.units", "typing", "utils"}
    late = {"plots.images", "plots", "models.unet"}
    assert {one.target for one in found if one.early} == early
    assert {one.target for one in found if not one.early} == late
    line = next(one for one in found if one.target == "models.unet")
    assert str(line) == "sample.py:7 imports models.unet"


def test_circles_are_found_however_long():
    arrows = ["ab", "bc", "ca", "cd", "de", "ff"]
    imports = [Import(module, target, 1, True) for module, target in arrows]
    assert circles(imports) == {frozenset("abc"), frozenset("f")}
