"""The page of `--html`: as a file, and the parts common to all pages, in a browser."""

import math
import re

import numpy as np
import pytest
from pages import (
    T,
    config_of,
    embedded,
    images_config,
    numbers,
    random_network,
    write_images,
    write_points,
)
from scripts import refuse, succeed
from torch import nn

from diffusion import make_diffusion
from system.errors import InputError

# ---------------------------------------------------------------------------------- as a file


@pytest.mark.parametrize("kind", ["points", "images"])
def test_a_page_is_one_file_without_addresses(kind, tmp_path):
    write, config = {
        "points": (write_points, config_of(timesteps=1000)),
        "images": (write_images, images_config()),
    }[kind]
    text = write(tmp_path / "page.html", config, random_network(config)).read_text()
    assert len(text) < 2_000_000
    text = re.sub(r'(type="application/json">).*', "", text)  # the data, on one line
    assert not re.search(r"(src|href)=(?!\"data:)", text)
    assert not re.search(r"//\w|import\(|fetch\(|XMLHttp|WebSocket|sendBeacon|@import|url\(", text)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "{{" not in text


def test_the_pretrained_network_fits_into_six_megabytes(tmp_path):
    config = images_config(shape=[1, 28, 28], base_channels=64, label_counts=[5] * 10)
    model = random_network(config)
    path = write_images(tmp_path / "page.html", config, model)
    assert path.stat().st_size < 6_000_000
    network = embedded(path)["network"]
    for name, weight in model.state_dict().items():
        found = numbers(network["weights"][name]["data"], np.float16)
        assert np.array_equal(found, weight.half().numpy().ravel())


def test_a_name_cannot_end_the_data(tmp_path):
    page = write_points(tmp_path / "page.html", config_of(dataset="drawings/<!--<script>{{style}}"))
    assert embedded(page)["title"] == "<!--<script>{{style}}: diffusion"
    assert "<!--" not in page.read_text()


def test_a_network_too_large_for_a_page_is_refused(tmp_path):
    config = config_of(hidden_dims=[1500, 1500])
    with pytest.raises(InputError, match=r"would be \d+\.\d MB.*smaller network"):
        write_points(tmp_path / "page.html", config, random_network(config))
    assert not (tmp_path / "page.html").exists()


def test_a_network_that_no_page_can_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot run a network of this kind"):
        write_images(tmp_path / "page.html", images_config(), nn.Linear(1, 1))


def test_the_option_writes_a_page_and_nothing_else(tmp_path):
    out = succeed("visualize_diffusion.py", "--dataset", "dino", "--html", cwd=tmp_path)
    assert "wrote outputs/explorer.html" in out
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["explorer.html"]
    assert embedded(tmp_path / "outputs/explorer.html")["kind"] == "points"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--html", "page.png"], "--html"),
        (["--html", "--gallery"], "--gallery cannot go with --html"),
        (["--html", "--dataset", "dino", "--arrows"], "--arrows cannot go with --html"),
        (["--html", "--save_path", "a.png"], "--save_path cannot go with --html"),
    ],
)
def test_what_does_not_go_with_a_page_is_refused(options, said, tmp_path):
    assert said in refuse("visualize_diffusion.py", *options, cwd=tmp_path)


# -------------------------------------------------------------------------------- in a browser


HOSTILE = "<img src=x onerror=document.title='stolen'><script>document.title='stolen'</script>"


@pytest.mark.parametrize("bypass_csp", [True, False])
def test_names_cannot_run_script(bypass_csp, visit, tmp_path):
    names = [HOSTILE, f"</script>{HOSTILE}", '"]}; document.title = "stolen"; //']
    config = images_config(dataset=HOSTILE, class_names=names, label_counts=[5] * 3)
    path = write_images(tmp_path / "page.html", config, random_network(config))
    with visit(path, bypass_csp=bypass_csp) as page:
        options = page.get_by_label("Class").locator("option").all_inner_texts()
        assert options[-3:] == names
        page.wait_for_timeout(300)
        assert page.title() == page.locator("#title").inner_text() != "stolen"
        assert page.locator("img").count() == 0


def picture(page):
    return page.evaluate("document.getElementById('picture').toDataURL()")


def forward(page):
    page.get_by_label("data → noise").check()


def test_time_moves_the_picture(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        forward(page)
        slider = page.get_by_role("slider", name="Time")
        shown = [picture(page)]
        assert page.locator("#t").inner_text() == "data"
        assert [page.locator(end).inner_text() for end in ("#start", "#end")] == ["data", "noise"]
        slider.fill("20")
        shown.append(picture(page))
        assert page.locator("#t").inner_text() == "19"
        assert "t = 19" in slider.get_attribute("aria-valuetext")
        alpha, sigma = make_diffusion(config_of()).schedule.at(19)
        assert float(page.locator("#alpha").inner_text()) == pytest.approx(alpha, abs=6e-4)
        assert float(page.locator("#sigma").inner_text()) == pytest.approx(sigma, abs=6e-4)
        level = float(page.locator("#lambda").inner_text().replace("−", "-"))
        assert level == pytest.approx(math.log(alpha / sigma), abs=6e-4)
        page.locator("#picture").focus()
        page.keyboard.press("ArrowRight")
        shown.append(picture(page))
        assert page.locator("#t").inner_text() == "20"
        page.keyboard.press("ArrowLeft")
        assert page.locator("#t").inner_text() == "19"
        page.get_by_role("button", name="One step back").click()
        assert page.locator("#t").inner_text() == "18"
        page.get_by_role("button", name="One step ahead").click()
        assert page.locator("#t").inner_text() == "19"
        page.locator("#picture").focus()
        page.get_by_label("Speed").select_option("4")
        page.locator("#picture").focus()
        page.keyboard.press("Space")
        page.wait_for_function(f"document.getElementById('t').textContent === '{T - 1}'")
        shown.append(picture(page))
        assert len(set(shown)) == 4
        page.wait_for_function("document.getElementById('play').textContent === 'Play'")
        page.get_by_label("noise → data").check()
        assert [page.locator(end).inner_text() for end in ("#start", "#end")] == ["noise", "data"]


def test_speed(visit, tmp_path):
    """Four times as fast, in pages that play for the same time."""
    moved = []
    with visit(write_points(tmp_path / "page.html", config_of(timesteps=1000))) as page:
        forward(page)
        for speed in ("0.25", "4"):
            page.get_by_label("Speed").select_option(speed)
            page.get_by_role("slider", name="Time").fill("0")
            page.get_by_role("button", name="Play").click()
            page.wait_for_timeout(400)
            page.get_by_role("button", name="Pause").click()
            moved.append(page.evaluate("position()"))
    assert 0 < 5 * moved[0] < moved[1]


def test_a_page_of_points_opens_moving(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        assert page.get_by_label("noise → data").is_checked()
        page.wait_for_function("position() > 2")
        assert page.locator("#play").inner_text() == "Pause"


def test_with_reduced_motion_playing_shows_stills(visit, tmp_path):
    path = write_points(tmp_path / "page.html", config_of())
    with visit(path, reduced_motion="reduce") as page:
        page.wait_for_timeout(300)
        assert page.evaluate("position() === last() && !state.playing")
        forward(page)
        page.get_by_role("button", name="Play").click()
        page.wait_for_timeout(300)
        assert page.evaluate("position()") == 0
        page.wait_for_function(f"position() === {T // 8}")
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(1200)
        assert page.evaluate("position()") == T // 8
        page.get_by_label("noise → data").check()
        page.locator("#steps").fill("2")
        page.locator("#steps").blur()
        page.get_by_label("Speed").select_option("4")
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("position() === 2 && !state.playing")


PAGES = {
    "points": (write_points, config_of(label_counts=[5, 5])),
    "images": (write_images, images_config(label_counts=[5, 5], class_names=["a", "b"])),
}


SIDES = """[...document.querySelectorAll("button, input, select, canvas")]
  .filter((item) => item.offsetParent).map((item) => item.getBoundingClientRect())
  .map(({ left, right }) => [left, right])"""


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize(("width", "height"), [(360, 740), (740, 360), (1280, 800)])
def test_it_fits_the_screen_and_the_theme(kind, width, height, visit, tmp_path):
    write, config = PAGES[kind]
    path = write(tmp_path / "page.html", config, random_network(config))
    viewport = {"width": width, "height": height}
    with visit(path, viewport=viewport, color_scheme="dark", reduced_motion="reduce") as page:
        for process in page.locator("input[name=process]:visible").all():
            process.check()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for left, right in page.evaluate(SIDES):
                assert 0 <= left < right <= width
            # The picture can be seen whole, with the controls beside it or below it.
            page.evaluate("scrollTo(0, 0)")
            box = page.locator("#picture").bounding_box()
            assert box["y"] + box["height"] <= height
            if width == 360:
                assert page.locator(".panel").bounding_box()["y"] < 0.85 * height
                page.evaluate("scrollTo(0, 400)")
                assert page.locator("#picture").bounding_box()["y"] >= 0
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(18, 22, 28)"
        dark = picture(page)
        page.get_by_role("button", name="Light").click()
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert picture(page) != dark


NAMELESS = """[...document.querySelectorAll('button, input, select, canvas, progress')]
  .filter((item) => item.offsetParent && !(item.labels?.[0]?.innerText.trim() ||
    item.getAttribute('aria-label') || item.innerText?.trim())).map((item) => item.id)"""


@pytest.mark.parametrize("kind", PAGES)
def test_everything_has_a_name_and_a_sentence(kind, visit, tmp_path):
    write, config = PAGES[kind]
    with visit(write(tmp_path / "page.html", config, random_network(config))) as page:
        for process in page.locator("input[name=process]:visible").all():
            process.check()
            assert page.evaluate(NAMELESS) == []
        page.get_by_label("noise → data").check()
        page.locator("#sampler").focus()
        assert "same estimates" in page.locator("#hint").inner_text()
        page.locator("#steps").hover()
        assert "less accurate" in page.locator("#hint").inner_text()
        told = page.evaluate(
            "[...document.querySelectorAll('[data-hint]')].map((i) => i.dataset.hint)"
        )
        assert len(set(told)) == len(told) > 20
        assert all(sentence.endswith(".") for sentence in told)
        without = (
            "(all) => all.filter((item) => !item.closest('[data-hint]')).map((item) => item.id)"
        )
        controls = page.locator("button, input, select")
        assert controls.evaluate_all(without) == ["theme"]


def test_no_control_moves_away_from_a_finger(visit, tmp_path):
    """For all sentences, and whether or not the network is running."""
    write, config = PAGES["images"]
    path = write(tmp_path / "page.html", config, random_network(config))
    for size in ({"width": 360, "height": 740}, {"width": 1280, "height": 800}):
        with visit(path, viewport=size) as page:
            tops = page.evaluate(
                """() => [...document.querySelectorAll("[data-hint]")].map((item) => {
                  document.getElementById("hint").textContent = item.dataset.hint;
                  show();
                  return document.getElementById("process").offsetTop;
                })"""
            )
            page.wait_for_function("view.modes.reverse.run.done")
            tops.append(page.evaluate("document.getElementById('process').offsetTop"))
        assert len(set(tops)) == 1


@pytest.mark.parametrize("kind", PAGES)
def test_all_controls_are_reached_by_the_keyboard(kind, visit, tmp_path):
    write, config = PAGES[kind]
    path = write(tmp_path / "page.html", config, random_network(config))
    controls = "button:visible:enabled, input:visible:enabled, select:visible:enabled"
    with visit(path, reduced_motion="reduce") as page:
        page.wait_for_function("view.crowds ? view.crowds[0].ends : view.modes.reverse.run.done")
        page.wait_for_timeout(50)
        named = "all => all.map((item) => item.id || item.name)"
        expected = page.locator(controls).evaluate_all(named)
        page.locator("#title").click()
        reached = []
        for _ in range(len(expected) + 2):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(f"({named})([document.activeElement])[0]"))
        assert set(expected) | {"picture"} <= set(reached)
        assert reached[:2] == ["theme", "picture"]
