"""The page in Firefox, under its own policy."""

import pytest
import torch
from firefox import PROGRAM, firefox, needs_firefox
from pages import T, config_of, images_config, in_half, random_network, write_images, write_points

from diffusion import make_diffusion
from samplers import dpmpp, final, trailing_timesteps

pytestmark = needs_firefox


@pytest.fixture(scope="module")
def browser():
    with firefox(PROGRAM) as page:
        yield page


@pytest.fixture
def visit(browser):
    """Opens files; at the end, checks that no page reported an error or requested anything else."""

    def visiting(path, width=1000, height=800):
        browser.resize(width, height)
        browser.goto(path.as_uri())
        return browser

    yield visiting
    assert browser.messages() == []
    assert [url for url in browser.requests() if not url.startswith("blob:")] == []


def choose(page, box, value):
    page.evaluate(
        """(id, value) => {
          const box = document.getElementById(id);
          box.value = value;
          box.dispatchEvent(new Event("change"));
        }""",
        box,
        value,
    )


def made(page, mode="reverse"):
    page.wait_for(f"view.modes.{mode}.run?.done", seconds=30)
    return torch.tensor(page.evaluate(f"Array.from(view.modes.{mode}.run.frames.at(-1).x)"))


def at_drawing(page, *places):
    """The places in the window of points given as shares of the drawing's sides."""
    left, top, width, height = page.evaluate(
        """() => {
          const box = document.getElementById("picture").getBoundingClientRect();
          const [left, top, ...size] = view.where(view.panels[0], view.unit, 0);
          return [box.left + 1 + left, box.top + 1 + top, ...size];
        }"""
    )
    return [(round(left + u * width), round(top + v * height)) for u, v in places]


def test_points_move_and_are_sampled(visit, tmp_path):
    config = config_of()
    page = visit(write_points(tmp_path / "page.html", config, random_network(config)))
    page.wait_for("position() > 2 && position() < last()")
    page.wait_for("view.crowds[0].ends")
    page.click("#again")
    choose(page, "sampler-2", "heun")
    page.wait_for("view.crowds[1].ends")
    for extra in ("arrows", "field", "paths", "density"):
        choose(page, "extra", extra)
    choose(page, "sampler-2", "")
    page.click("#picture", kind="touch")
    assert page.evaluate("view.followed.reverse.size") == 1


def test_samples_are_those_of_pytorch(visit, tmp_path):
    config = images_config()
    model, diffusion = in_half(random_network(config)), make_diffusion(config)
    page = visit(write_images(tmp_path / "page.html", config, model))
    choose(page, "count", "2")
    pixels = made(page)
    noise = torch.tensor(page.evaluate("Array.from(view.startingNoise(1, 2, schedule.length - 1))"))
    x = noise.float().view(2, 1, 16, 16)
    timesteps = trailing_timesteps(T, 20)
    expected = final(dpmpp(diffusion.denoiser(model), x, diffusion.schedule, timesteps))
    expected = expected.add(1).mul(127.5).round().clamp(0, 255).flatten()
    assert abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_draw_erase_fill_and_change_the_class(kind, visit, tmp_path):
    """On a phone too: 360 pixels wide, with a finger."""
    config = images_config(label_counts=[5, 5], class_names=["cat", "dog"])
    path = write_images(tmp_path / "page.html", config, random_network(config))
    page = visit(path, *((360, 740) if kind == "touch" else (1000, 800)))
    page.click("input[value=edit]", kind)
    page.click("#clear-drawing", kind)
    page.evaluate("scrollTo(0, 0)")
    page.drag(*at_drawing(page, (0.3, 0.2), (0.6, 0.5), (0.4, 0.8)), kind=kind)
    drawn = page.evaluate("Array.from(view.modes.edit.pixels)")
    assert len(set(drawn)) > 2
    page.click("#vary", kind)
    made(page, "edit")
    page.wait_for("!document.getElementById('keep').disabled")
    page.click("#keep", kind)
    kept = torch.tensor(page.evaluate("Array.from(view.modes.edit.pixels)"))
    assert kept.tolist() != drawn
    page.click("input[value=hole]", kind)
    page.evaluate("scrollTo(0, 0)")
    page.drag(*at_drawing(page, (0.2, 0.75), (0.8, 0.75)), kind=kind)
    hole = torch.tensor(page.evaluate("Array.from(view.modes.edit.hole)")).bool()
    assert hole.any()
    page.click("#fill", kind)
    filled = made(page, "edit")
    assert abs(filled - kept)[~hole].max() <= 1
    assert abs(filled - kept)[hole].float().mean() > 3
    choose(page, "label", "1")
    page.click("#vary", kind)
    assert made(page, "edit").tolist() != filled.tolist()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_alone(visit, tmp_path):
    config = images_config(label_counts=[5, 5])
    page = visit(write_images(tmp_path / "page.html", config, random_network(config)))
    made(page)
    reached = set()
    for _ in range(25):
        page.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"picture", "play", "time", "process", "label", "sampler", "steps", "seed"} <= reached
    page.evaluate("document.getElementById('picture').focus()")
    page.press("ArrowLeft")
    assert page.evaluate("position()") == 19
