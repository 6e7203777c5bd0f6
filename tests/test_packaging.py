"""pyproject.toml installs all that there is, and asks for what requirements.txt asks for."""

import os
import subprocess
import sysconfig
import tomllib
import venv
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from copies import copy_repository
from packaging.requirements import Requirement
from scripts import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
NOT_INSTALLED = {"benchmarks", "docs", "tests", "build"}


def requirements(path: str) -> set[str]:
    """What a file asks for itself, without what it takes from others."""
    lines = (REPOSITORY / path).read_text(encoding="utf-8").splitlines()
    found = {line.partition("#")[0].strip() for line in lines}
    return {line for line in found if line and not line.startswith("-")}


def folders_with_python() -> set[str]:
    found = {path.parent.name for path in REPOSITORY.glob("*/*.py")}
    return {name for name in found if name.isidentifier()} - NOT_INSTALLED


def test_every_module_is_installed():
    assert sorted(SETUPTOOLS["py-modules"]) == sorted(path.stem for path in REPOSITORY.glob("*.py"))
    included = SETUPTOOLS["packages"]["find"]["include"]
    assert sorted(included) == sorted(f"{name}*" for name in folders_with_python())


def test_every_folder_of_modules_is_a_package():
    for name in folders_with_python():
        for path in (REPOSITORY / name).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path.parent


def test_what_a_package_reads_is_installed_with_it():
    for name in folders_with_python():
        patterns = SETUPTOOLS["package-data"].get(name, [])
        for path in (REPOSITORY / name).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert any(path.match(pattern) for pattern in patterns), path


def test_linters_see_every_package():
    assert sorted(PROJECT["tool"]["mypy"]["files"]) == sorted(["*.py", *folders_with_python()])


def test_dependencies_are_those_of_the_requirements_files():
    assert SETUPTOOLS["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    assert "dependencies" in PROJECT["project"]["dynamic"]
    assert all(Requirement(line) for line in requirements("requirements.txt"))
    itself = {line for line in EXTRAS["dev"] if Requirement(line).name == "tiny-diffusion"}
    (extras,) = (Requirement(line).extras for line in itself)
    assert extras == EXTRAS.keys() - {"dev"}
    listed = {line for lines in EXTRAS.values() for line in lines} - itself
    assert listed == requirements("requirements-dev.txt")


@pytest.mark.parametrize(("command", "place"), PROJECT["project"]["scripts"].items())
def test_every_script_has_its_command(command, place, monkeypatch):
    import cli.terminal

    module, _, name = place.partition(":")
    run = []
    monkeypatch.setattr(cli.terminal, "run", run.append)
    getattr(import_module(module), name)()
    script = Path(run[0].__code__.co_filename).stem
    assert run[0].__name__ == "main"
    assert command == "tiny-diffusion-" + script.removesuffix("_diffusion")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with nothing of its own that borrows all packages of this one."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=os.name != "nt")
    place = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=place))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", vars=place), "python")


def pip(python: Path, *arguments: object) -> None:
    """Nothing is downloaded, and nothing built in a clean place, for which tools would be."""
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    done = subprocess.run(
        [python, "-m", "pip", *map(str, arguments), *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_clone_that_is_installed_runs_from_any_folder(clone, python, tmp_path):
    pip(python, "install", "--editable", clone)
    # Packages of the same names, which others have installed.
    (packages,) = {path.parent for path in python.parent.parent.rglob("borrowed.pth")}
    for name in ("datasets", "evaluate"):
        (packages / f"{name}.py").write_text("raise SystemExit('another package')")
    commands = {name: [python.parent / name] for name in PROJECT["project"]["scripts"]}
    for start in (*commands.values(), [python, "-m", "train"]):
        help_text = subprocess.check_output([*start, "--help"], cwd=tmp_path, text=True)
        assert help_text.startswith("usage: ")
    quick = ("--dataset", "dino", "--epochs", "1", "--num_points", "100", "--timesteps", "10")
    subprocess.run([*commands["tiny-diffusion-train"], *quick], cwd=tmp_path, check=True)
    subprocess.run(commands["tiny-diffusion-sample"], cwd=tmp_path, check=True)
    subprocess.run([python, "-m", "train", *quick], cwd=tmp_path, check=True)
    assert (tmp_path / "outputs" / "generated_samples.png").is_file()
    assert (tmp_path / "outputs" / "earlier_001" / "model_final.pt").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    assert not (clone / "outputs").exists()


@pytest.mark.slow
def test_a_wheel_holds_every_file(clone, python, tmp_path):
    pip(python, "wheel", clone, "--wheel-dir", tmp_path)
    (wheel,) = tmp_path.glob("tiny_diffusion-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {path.name for path in clone.glob("*.py")}
    for name in folders_with_python():
        files = (path for path in (clone / name).rglob("*") if path.is_file())
        there |= {path.relative_to(clone).as_posix() for path in files}
    assert held == there
    assert {"explorer/page.html", "explorer/page.js", "explorer/style.css"} <= held
