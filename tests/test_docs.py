"""docs/MATH.md: the lines of code it points at are there, and its less obvious steps are right.

And the pictures of the README: each is there, small, and made by `make docs`.
"""

import re

import imageio.v3 as iio
import pytest
import torch
from scripts import REPOSITORY, refuse, succeed

from diffusion import make_schedule
from samplers import step_coefficients

MATH = (REPOSITORY / "docs" / "MATH.md").read_text(encoding="utf-8")
REFERENCES = re.findall(r"^→ `([^`]+)`: `([^`]+)`$", MATH, re.MULTILINE)

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[([^]]*)\]\(docs/(\w+)\.(png|gif)\)", README)


@pytest.mark.parametrize(("text", "name", "suffix"), PICTURES)
def test_pictures_of_the_readme_are_there_small_and_described(text, name, suffix):
    path = REPOSITORY / "docs" / f"{name}.{suffix}"
    assert 1000 < path.stat().st_size <= 400_000
    assert len(text) > 20
    build = (REPOSITORY / "docs" / "build.py").read_text(encoding="utf-8")
    assert f'"{name}.{suffix}"' in build


def test_every_picture_is_shown_somewhere_and_every_one_shown_is_there():
    shown = {f"{name}.{suffix}" for _, name, suffix in PICTURES}
    results = (REPOSITORY / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    ablations = (REPOSITORY / "docs" / "ABLATIONS.md").read_text(encoding="utf-8")
    shown |= (ablated := set(re.findall(r"\((ablation_\w+\.png)\)", ablations)))
    assert len(ablated) == 9
    assert all((REPOSITORY / "docs" / name).stat().st_size <= 400_000 for name in ablated)
    for path in (*(REPOSITORY / "docs").glob("*.png"), *(REPOSITORY / "docs").glob("*.gif")):
        assert path.name in shown or path.name in results


def test_pictures_are_built_by_name(tmp_path):
    build = ("docs/build.py", "--target", tmp_path)
    assert "no picture 'unett'" in refuse(*build, "unett", cwd=tmp_path)
    options = ("unet", "gallery", "--folder", tmp_path / "work")
    succeed(*build, *options, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"unet.png", "gallery.png", "work"}
    assert iio.imread(tmp_path / "unet.png")[..., :3].std() > 20


def test_every_arrow_is_a_reference():
    assert len(REFERENCES) == MATH.count("→ `") >= 20


@pytest.mark.parametrize(("file", "line"), REFERENCES)
def test_lines_that_the_derivation_points_at_are_there(file, line):
    lines = [one.strip() for one in (REPOSITORY / file).read_text(encoding="utf-8").splitlines()]
    assert lines.count(line) == 1


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
