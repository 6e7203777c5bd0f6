"""docs/MATH.md: the lines of code it points at are there, and its less obvious steps are right.

And the pictures of the README and the pages: each is there, small, and made by `make docs`.
"""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import imageio.v3 as iio
import pytest
import torch
from scripts import REPOSITORY, refuse, succeed

import explorer
from diffusion import make_schedule
from evaluation import Figure
from samplers import step_coefficients

MATH = (REPOSITORY / "docs" / "MATH.md").read_text(encoding="utf-8")
REFERENCES = re.findall(r"^→ `([^`]+)`: `([^`]+)`$", MATH, re.MULTILINE)


def load(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ENDS = {"-h", "--help", "--help_all", "--version"}  # a script at once
build, options = load("build"), load("options")

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEXTS = {
    path.name: path.read_text(encoding="utf-8") for path in PAGES if path.name != "ABLATIONS.md"
}
SHOWN = "\n".join(TEXTS.values())
PICTURES = re.findall(r"!\[([^]]*)\]\((?:docs/)?(\w+)\.(png|gif)\)", SHOWN)
LINKED = [*PAGES, *REPOSITORY.glob("*.md"), *REPOSITORY.glob("*/*.md")]
LINKS = sorted(
    {
        (path.relative_to(REPOSITORY).as_posix(), target)
        for path in LINKED
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
        if "://" not in target
    }
)


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_link_leads_somewhere(page, target):
    name, _, anchor = target.partition("#")
    there = (REPOSITORY / page).parent / name if name else REPOSITORY / page
    assert there.exists()
    if anchor:
        assert anchor in anchors(there.read_text(encoding="utf-8"))


def test_the_page_of_options_is_what_the_parsers_say():
    page = (REPOSITORY / "docs" / "OPTIONS.md").read_text(encoding="utf-8")
    assert page == options.document()
    sections = dict(re.findall(r"^## `(.*?)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(options.parsers())
    for script, parser in options.parsers().items():
        for name in parser._option_string_actions.keys() - ENDS:
            assert f"`{name}`" in sections[script]


@pytest.mark.parametrize(("text", "name", "suffix"), PICTURES)
def test_pictures_are_there_small_and_described(text, name, suffix):
    path = REPOSITORY / "docs" / f"{name}.{suffix}"
    assert 1000 < path.stat().st_size <= 400_000
    assert len(text) > 20
    build = (REPOSITORY / "docs" / "build.py").read_text(encoding="utf-8")
    # Those of RESULTS.md are made by the benchmark that is named there.
    assert f'"{name}.{suffix}"' in build or (REPOSITORY / "benchmarks" / f"{name}.py").exists()


def test_every_picture_is_shown_somewhere_and_every_one_shown_is_there():
    shown = {f"{name}.{suffix}" for _, name, suffix in PICTURES}
    results = (REPOSITORY / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    ablations = (REPOSITORY / "docs" / "ABLATIONS.md").read_text(encoding="utf-8")
    shown |= (ablated := set(re.findall(r"\((ablation_\w+\.png)\)", ablations)))
    assert len(ablated) == 9
    assert all((REPOSITORY / "docs" / name).stat().st_size <= 400_000 for name in ablated)
    for path in (*(REPOSITORY / "docs").glob("*.png"), *(REPOSITORY / "docs").glob("*.gif")):
        assert path.name in shown or path.name in results or f"({path.name})" in MATH


# Where a run finds its files, and what pictures do not show.
ASIDE = "checkpoint few data_dir output output_dir picture save_path dataset no-gif".split()


class Recorder(build.Studio):
    """Keeps the commands that pictures ask for instead of running them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / "data", folder)
        self.commands: list[tuple[str, dict[str, list[str]]]] = []

    def run(self, script: str, *options: object) -> None:
        self.commands.append((script, by_name(map(str, options))))

    def samples(self, checkpoint: str, *options: object) -> torch.Tensor:
        self.run("sample.py", "--sampler", "dpmpp", *options)
        return torch.zeros(20, 28, 28, dtype=torch.uint8)

    def has(self, folder: Path) -> bool:
        return True

    def show(self, made: Path, name: str, largest: int = 0) -> None:
        pass


def by_name(words) -> dict[str, list[str]]:
    """Options with their values, apart from those that are set aside."""
    found, values = {}, []
    for word in words:
        if word.startswith("--"):
            values = found.setdefault(word[2:], [])
        else:
            values.append(word)
    return {name: value for name, value in found.items() if name not in ASIDE}


CAPTIONS = re.findall(
    r"\((?:docs/)?(\w+)\.(?:png|gif)\)\n\n\*(.*?)\*\n\n", SHOWN + "\n\n", re.DOTALL
)
COMMANDS = [
    (picture, script, options.split())
    for picture, caption in CAPTIONS
    for script, options in re.findall(r"`python (\S+\.py)([^`]*)`", caption)
]


@pytest.mark.parametrize(("picture", "script", "options"), COMMANDS)
def test_the_command_beside_a_picture_is_what_makes_it(picture, script, options, tmp_path):
    if script == "docs/build.py":
        assert options == [picture]
        return
    if script == f"benchmarks/{picture}.py" and picture not in build.PICTURES:
        return  # its measurements take hours
    studio = Recorder(tmp_path)
    build.PICTURES[picture](studio)
    assert (script, by_name(options)) in studio.commands


def test_most_pictures_have_their_command():
    assert {picture for picture, _, _ in COMMANDS} >= {"hero", "process", "guidance", "inpainting"}
    assert len(COMMANDS) >= 12


def test_pictures_are_built_by_name(tmp_path):
    command = ("docs/build.py", "--target", tmp_path)
    assert "no picture 'unett'" in refuse(*command, "unett", cwd=tmp_path)
    options = ("unet", "gallery", "--folder", tmp_path / "work")
    succeed(*command, *options, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"unet.png", "gallery.png", "work"}
    for name in ("unet", "gallery"):
        made, shown = (iio.imread(folder / f"{name}.png") for folder in (tmp_path, build.DOCS))
        assert made.shape == shown.shape
        assert abs(made.astype(int) - shown).mean() < 5  # of 255; fonts differ a little


def test_models_to_publish_are_trained_exported_and_measured(tmp_path, monkeypatch, capsys):
    class Exporter(Recorder):
        def run(self, script: str, *options: object) -> None:
            super().run(script, *options)
            if "--export" in options:
                Path(options[options.index("--export") + 1]).write_bytes(b"0" * 100_000)

    monkeypatch.syspath_prepend(build.DOCS)
    pretrained, studio = load("pretrained"), Exporter(tmp_path)
    figures = {"FID": Figure(0.123, 0.03)._asdict()}
    content = json.dumps({"made_by": "dpmpp", "figures": figures})
    (tmp_path / "figures.json").write_text(content, encoding="utf-8")
    monkeypatch.setattr(pretrained, "Studio", lambda *_: studio)
    monkeypatch.setattr(sys, "argv", ["pretrained.py", "--folder", str(tmp_path)])
    pretrained.main()
    table = capsys.readouterr().out
    for name in ("mnist", "mnist_one_step", "fashion_mnist", "fashion_mnist_one_step"):
        assert f"| `{name}` | 0.1 MB | dpmpp | 0.12 | 0.03 |" in table
    trained = [options for script, options in studio.commands if script == "train.py"]
    assert [one.get("epochs") for one in trained] == [["6"]] * 4


def test_the_page_to_publish_is_that_of_today():
    """Its data are from `make docs`; the rest must be what explorer/ makes from them now."""
    text = (REPOSITORY / "docs" / "index.html").read_text(encoding="utf-8")
    assert len(text) < 6_000_000
    data = re.search(r'type="application/json">(.*)</script>', text)[1]
    assert explorer.fill_in(json.loads(data)) == text


def test_every_arrow_is_a_reference():
    assert len(REFERENCES) == MATH.count("→ `") >= 20


def statements(code: str) -> list[str]:
    """All statements in some code, including nested ones, without layout and comments."""
    return [ast.dump(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt)]


def test_statements_are_the_same_however_they_are_laid_out():
    code = "def f(a, b):\n    return (\n        a  # first\n        + (b) * 2.0\n    )\n"
    assert statements("return a + b * 2.0")[0] in statements(code)
    assert statements("return (a + b) * 2.0")[0] not in statements(code)
    assert statements("return b + a * 2.0")[0] not in statements(code)


@pytest.mark.parametrize(("file", "line"), REFERENCES)
def test_what_the_derivation_points_at_is_in_the_code(file, line):
    (wanted,) = statements(line)
    assert wanted in statements((REPOSITORY / file).read_text(encoding="utf-8"))


def test_equations_are_numbered_in_order():
    numbers = [int(n) for n in re.findall(r"\((\d+)\)$", MATH, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "log_linear"])
def test_the_posterior_is_bayes_rule_and_the_divergence_is_equation_9(schedule):
    """Equations 8 and 9, in one dimension, computed another way: by the product of Gaussians."""
    table = make_schedule(schedule, 100)
    t, s, x0, other, x = 60, 40, 0.7, 0.4, 1.1
    (alpha_t, sigma_t), (alpha_s, sigma_s) = table.at(t), table.at(s)
    alpha_ts = alpha_t / alpha_s
    var_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    variance = 1 / (alpha_ts**2 / var_ts + 1 / sigma_s**2)
    mean = variance * (alpha_ts * x / var_ts + alpha_s * x0 / sigma_s**2)
    on_x0, on_eps, on_noise = step_coefficients(table, t, s, eta=1.0)
    assert on_noise**2 == pytest.approx(variance, rel=1e-9)
    assert on_x0 * x0 + on_eps * (x - alpha_t * x0) / sigma_t == pytest.approx(mean, rel=1e-9)

    means = [on_x0 * guess + on_eps * (x - alpha_t * guess) / sigma_t for guess in (x0, other)]
    divergence = (means[0] - means[1]) ** 2 / (2 * variance)
    snr_s, snr_t = (alpha_s / sigma_s) ** 2, (alpha_t / sigma_t) ** 2
    assert divergence == pytest.approx(0.5 * (snr_s - snr_t) * (x0 - other) ** 2, rel=1e-6)


def test_ddim_is_eulers_method_for_equation_17():
    table, x, x0 = make_schedule("cosine", 100), torch.tensor(0.9), torch.tensor(-0.3)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = table.at(70), table.at(50)
    on_x0, on_eps, _ = step_coefficients(table, 70, 50, eta=0.0)
    ddim = on_x0 * x0 + on_eps * (x - alpha_t * x0) / sigma_t
    euler = sigma_s * (x / sigma_t + (alpha_s / sigma_s - alpha_t / sigma_t) * x0)
    torch.testing.assert_close(ddim, euler)


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_the_common_options_of_the_readme_are_those_of_the_help(script):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = re.search(rf"^\| `{script}` \| default.*?(?=\n\n)", readme, re.MULTILINE | re.DOTALL)[0]
    first_cells = "".join(line.split("|")[1] for line in table.splitlines()[2:])
    parser = options.parsers()[script]
    shown = {parser._option_string_actions[name].dest for name in re.findall(r"--\w+", first_cells)}
    left_out = {"resume"}  # has a section of its own
    assert shown == set(parser.common) - left_out
