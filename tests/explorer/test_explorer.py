"""The page of `--html`, as a file and, where there is a Chromium, in a browser."""

import base64
import json
import math
import re
import shutil
from contextlib import contextmanager
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scripts import refuse, succeed

import explorer
from datasets.units import ImageUnits, PointUnits
from diffusion import make_diffusion
from explorer import save_explorer
from guidance import Conditioned, guided
from models import build_model
from samplers import ddim, dpmpp, final, trailing_timesteps
from system.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, BROWSERS)), None)
in_browser = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(BROWSERS)} is here")
T = 40


def config_of(**changes):
    config = {
        "kind": "points",
        "dataset": "moons",
        "model": "mlp",
        "schedule": "cosine",
        "prediction": "v",
        "timesteps": T,
        "loss_weighting": "uniform",
        "hidden_dims": [16, 16, 8],
        "embedding_size": 12,
        "time_embedding": "sinusoidal",
        "coordinates": "sinusoidal",
        "embedding_scale": 2.0,
        "label_counts": [],
        "label_dropout": 0.1,
        "shape": [2],
        "value_range": None,
        "class_names": [],
    }
    config |= dict.fromkeys(("beta_start", "beta_end", "sigma_min", "sigma_max"))
    return config | changes


def random_network(config):
    """An MLP whose answers are not all zero, as they are before training."""
    torch.manual_seed(1)
    model = build_model(config).eval().requires_grad_(False)
    torch.nn.init.normal_(model.head.weight, std=1.0)
    return model


def write_points(path, config, model=None):
    torch.manual_seed(0)
    points, labels = torch.randn(200, 2), torch.arange(200) % 3
    save_explorer(
        path, config, make_diffusion(config), PointUnits([0, 0], 1), points, labels, model
    )
    return path


def write_images(path, config, model=None):
    x0 = torch.rand(9, 1, 28, 28) * 2 - 1
    labels = torch.arange(9)
    save_explorer(path, config, make_diffusion(config), ImageUnits((1, 28, 28)), x0, labels, model)
    return path


def embedded(path):
    found = re.search(r'type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


# ---------------------------------------------------------------------------------- as a file


def test_a_page_is_one_small_file(tmp_path):
    config = config_of(hidden_dims=[128] * 3, embedding_size=128, timesteps=1000)
    text = write_points(tmp_path / "page.html", config, random_network(config)).read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"(src|href)=(?!\"data:)", text)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "{{" not in text


def test_a_name_cannot_end_the_data(tmp_path):
    page = write_points(tmp_path / "page.html", config_of(dataset="drawings/<!--<script>{{style}}"))
    assert embedded(page)["title"] == "<!--<script>{{style}}: diffusion"
    assert "<!--" not in page.read_text()


def test_a_network_too_large_for_a_page_is_refused(tmp_path):
    config = config_of(hidden_dims=[1000, 1000])
    with pytest.raises(InputError, match=r"would have \d+\.\d MB.*--hidden_size"):
        write_points(tmp_path / "page.html", config, random_network(config))
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("count", [1, 9, 100])
def test_images_fit_into_a_page(count, tmp_path):
    config = config_of(kind="images", schedule="log_linear", timesteps=200, shape=[1, 28, 28])
    x0 = torch.zeros(count, 1, 28, 28)
    model = lambda x, t: x  # noqa: E731
    labels = torch.zeros(count, dtype=torch.int64)
    path = tmp_path / "page.html"
    save_explorer(path, config, make_diffusion(config), ImageUnits((1, 28, 28)), x0, labels, model)
    assert path.stat().st_size < explorer.LARGEST
    reverse = embedded(path)["images"]["reverse"]
    steps = len(reverse["timesteps"])
    assert steps == (50 if count < 100 else 20)
    assert len(base64.b64decode(reverse["x"])) == (steps + 1) * count * 784


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


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens files; at the end, none of them has complained or asked for anything else."""
    complaints, requests = [], []

    @contextmanager
    def visiting(path, **settings):
        # Without the page's policy, which would hinder the tests, and hide what it asks for.
        settings = {"viewport": {"width": 1000, "height": 800}, "bypass_csp": True, **settings}
        with browser.new_context(**settings) as context:
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(path.as_uri())
            yield page
        assert not complaints
        assert requests == [path.as_uri()]
        requests.clear()

    return visiting


def picture(page):
    return page.evaluate("document.getElementById('picture').toDataURL()")


def sampled(page):
    """The samples in the page, once all are made."""
    page.wait_for_function("view.ends")
    return np.array(page.evaluate("Array.from(view.frames.at(-1).x)")).reshape(-1, 2)


def show_reverse(page):
    page.get_by_label("noise → data").check()
    page.wait_for_function("view.ends")


@in_browser
@pytest.mark.parametrize(
    ("time_embedding", "coordinates", "counts"),
    [
        ("sinusoidal", "sinusoidal", []),
        ("learned", "raw", []),
        ("linear", "raw", [5, 5, 5]),
        ("log_sigma", "sinusoidal", [5, 5, 5]),
    ],
)
def test_the_network_in_the_page_answers_as_pytorch(
    time_embedding, coordinates, counts, visit, tmp_path
):
    config = config_of(
        time_embedding=time_embedding,
        coordinates=coordinates,
        label_counts=counts,
        timesteps=1000,
        schedule="linear",
    )
    model = random_network(config)
    x = torch.randn(20, 2) * 2
    some = torch.arange(20) % 3 if counts else None
    with visit(write_points(tmp_path / "page.html", config, model)) as page:
        for t, labels in product((0, 7, 500, 999), (None, some)):
            asked = [x.flatten().tolist(), t, None if labels is None else labels.tolist()]
            answer = page.evaluate(
                "([x, t, labels]) => Array.from(view.network(x, t, labels))", asked
            )
            expected = Conditioned(model, labels)(x, torch.tensor([t]))
            assert expected.abs().mean() > 0.1
            torch.testing.assert_close(
                torch.tensor(answer).view(20, 2), expected, rtol=0, atol=1e-4
            )


SAMPLE = """([x, name, steps, eta, fresh]) => {
  const denoise = view.denoiser();
  const labels = view.classOf(range(x.length / 2));
  const told = (x, t) => denoise(x, t, labels);
  const timesteps = trailingTimesteps(schedule.length, steps);
  const noise = (k) => fresh[k];
  const frames = [...runSampler(name, told, x, schedule, timesteps, eta, noise)];
  return Array.from(frames.at(-1).x);
}"""


@in_browser
@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [("cosine", "v"), ("flow", "v"), ("log_linear", "eps"), ("linear", "x0"), ("quadratic", None)],
)
def test_sampling_in_the_page_gives_pytorchs_points(schedule, prediction, visit, tmp_path):
    """From the same noise; without a prediction, by the exact denoiser of the data."""
    from samplers import exact_denoiser

    config = config_of(schedule=schedule, prediction=prediction or "v", sigma_max=3.0)
    model = random_network(config) if prediction else None
    diffusion = make_diffusion(config)
    x = diffusion.starting_noise(torch.randn(15, 2))
    path = write_points(tmp_path / "page.html", config, model)
    data = np.frombuffer(base64.b64decode(embedded(path)["points"]["positions"]), np.float32)
    exact = exact_denoiser(torch.tensor(data).view(-1, 2).double(), diffusion.schedule)
    denoise = diffusion.denoiser(model) if model else exact
    start = x if model else x.double()
    with visit(path) as page:
        for name, steps, eta in (
            ("ddim", 13, 0),
            ("ddim", 10, 0.5),
            ("ddpm", T, 1),
            ("dpmpp", 9, 0),
        ):
            fresh = torch.randn(steps, 15, 2)
            noises = iter(fresh)
            timesteps = trailing_timesteps(T, steps)
            if name == "dpmpp":
                states = dpmpp(denoise, start, diffusion.schedule, timesteps)
            else:
                noise = lambda _: next(noises)  # noqa: B023, E731
                states = ddim(denoise, start, diffusion.schedule, timesteps, eta, noise)
            expected = final(states).float()
            asked = [x.flatten().tolist(), name, steps, eta, fresh.flatten(1).tolist()]
            answer = torch.tensor(page.evaluate(SAMPLE, asked)).view(15, 2)
            torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)


@in_browser
def test_classes_and_guidance_in_the_page(visit, tmp_path):
    config = config_of(label_counts=[5, 5, 5])
    model = random_network(config)
    diffusion = make_diffusion(config)
    x = torch.randn(6, 2)
    told = guided(model, torch.full((6,), 2), 3, 2.5)
    states = ddim(diffusion.denoiser(told), x, diffusion.schedule, trailing_timesteps(T, 5))
    with visit(write_points(tmp_path / "page.html", config, model)) as page:
        show_reverse(page)
        before = sampled(page)
        page.get_by_label("Class").select_option("2")
        page.get_by_label("Guidance").fill("2.5")
        page.get_by_label("Guidance").blur()
        assert abs(sampled(page) - before).max() > 0.01
        answer = page.evaluate(SAMPLE, [x.flatten().tolist(), "ddim", 5, 0, []])
    torch.testing.assert_close(torch.tensor(answer).view(6, 2), final(states), rtol=0, atol=1e-4)


@in_browser
def test_the_page_offers_the_classes_that_the_network_learned(visit, tmp_path):
    config = config_of(label_counts=[5, 0, 5], label_dropout=0.0)
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        show_reverse(page)
        offered = page.get_by_label("Class").locator("option").all_inner_texts()
        assert offered == ["each in turn", "0", "2"]  # not "any", of which it saw no example
        assert not page.get_by_label("Guidance").is_visible()
        assert page.evaluate("view.classOf([0, 1, 2])") == [0, 2, 0]


@in_browser
def test_time_moves_the_picture(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        slider = page.get_by_role("slider", name="Time")
        shown = [picture(page)]
        assert page.locator("#t").inner_text() == "data"
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
        page.keyboard.press("Space")
        page.wait_for_function(f"document.getElementById('t').textContent === '{T - 1}'")
        shown.append(picture(page))
        assert len(set(shown)) == 4
        page.wait_for_function("document.getElementById('play').textContent === 'Play'")


@in_browser
def test_with_reduced_motion_playing_shows_stills(visit, tmp_path):
    path = write_points(tmp_path / "page.html", config_of())
    with visit(path, reduced_motion="reduce") as page:
        page.get_by_role("button", name="Play").click()
        page.wait_for_timeout(300)
        assert page.evaluate("position()") == 0
        page.wait_for_function(f"position() === {T // 8}")
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(1200)
        assert page.evaluate("position()") == T // 8


@in_browser
def test_controls_of_sampling(visit, tmp_path):
    config = config_of()
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        show_reverse(page)
        first = sampled(page)
        page.get_by_label("Steps").fill("7")
        page.get_by_label("Steps").blur()
        fewer = sampled(page)
        assert page.evaluate("view.frames.length") == 8
        page.get_by_label("η").fill("1")
        page.get_by_label("Sampler").select_option("dpmpp")
        assert page.get_by_label("η").is_disabled()
        second_order = sampled(page)
        assert page.evaluate("view.frames.length") == 21
        page.get_by_label("Sampler").select_option("ddpm")
        ancestral = sampled(page)
        assert page.evaluate("view.frames.length") == T + 1
        page.get_by_role("button", name="New noise").click()
        other = sampled(page)
        page.get_by_label("Steps").fill("9999")
        page.get_by_label("Steps").blur()
        assert page.get_by_label("Steps").input_value() == str(T)
        page.get_by_label("Steps").fill("")
        page.get_by_label("Steps").blur()
        assert page.get_by_label("Steps").input_value() == str(T)
    made = (first, fewer, second_order, ancestral, other)
    assert all(np.isfinite(samples).all() for samples in made)
    assert all(abs(a - b).max() > 1e-3 for a, b in pairwise(made))


@in_browser
def test_noise_dropped_by_a_click_becomes_a_sample(visit, tmp_path):
    config = config_of()
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        show_reverse(page)
        before = sampled(page)
        box = page.locator("#picture").bounding_box()
        page.mouse.click(box["x"] + 8, box["y"] + 8)
        after = sampled(page)
        assert len(after) == len(before) + 1
        assert abs(after[:-1] - before).max() == 0
        x, y = page.evaluate("Array.from(view.frames[0].x.slice(-2))")
        assert (x, y) == (pytest.approx(-2.9, abs=0.1), pytest.approx(2.9, abs=0.1))
        assert page.evaluate("[...view.followed.reverse]") == [len(before)]
        page.get_by_role("button", name="Drop one").click()
        page.get_by_label("Steps").fill("10")
        page.get_by_label("Steps").blur()
        assert len(sampled(page)) == len(before) + 2
        page.get_by_role("button", name="Clear").click()
        assert len(sampled(page)) == len(before)


@in_browser
def test_a_clicked_point_is_followed(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        plain = picture(page)
        box = page.locator("#picture").bounding_box()
        left, top = page.evaluate("view.pixel(view.data[0], view.data[1])")
        page.mouse.click(box["x"] + 1 + left, box["y"] + 1 + top)
        assert len(page.evaluate("[...view.followed.forward]")) == 1
        followed = picture(page)
        page.mouse.click(box["x"] + 1 + left, box["y"] + 1 + top)
        assert len(page.evaluate("[...view.followed.forward]")) == 0
        assert followed != plain == picture(page)


@in_browser
@pytest.mark.parametrize("process", ["data → noise", "noise → data"])
def test_layers(process, visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        page.get_by_label(process).check()
        page.wait_for_function("view.ends")
        page.get_by_role("slider", name="Time").fill("15")
        shown = [picture(page)]
        extras = ["arrows", "field"] + (["paths"] if process == "noise → data" else [])
        for extra in extras:
            page.locator("#extra").select_option(extra)
            shown.append(picture(page))
        page.get_by_label("the data").uncheck()
        shown.append(picture(page))
        assert len(set(shown)) == len(shown)


@in_browser
def test_images_in_the_page(visit, tmp_path):
    config = config_of(kind="images", shape=[1, 28, 28], hidden_dims=[32])
    path = write_images(tmp_path / "page.html", config, random_network(config))
    with visit(path) as page:
        data = picture(page)
        page.get_by_role("slider", name="Time").fill(str(T))
        noise = picture(page)
        page.get_by_label("noise → data").check()
        frames = [picture(page)]
        page.get_by_role("slider", name="Time").fill("10")
        frames.append(picture(page))
        page.get_by_label("Enlarged: image").fill("3")
        page.get_by_label("Enlarged: image").blur()
        assert page.evaluate("view.chosen") == 2
        box = page.locator("#picture").bounding_box()
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.9 * box["height"])
        assert page.evaluate("view.chosen") == 8
        assert page.get_by_label("Enlarged: image").input_value() == "9"
    assert len({data, noise, *frames}) == 4


@in_browser
def test_colour_images_that_are_not_square(visit, tmp_path):
    """Each is of one colour, so each pixel of its place in the picture has that colour."""
    config = config_of(kind="images", shape=[3, 4, 7])
    colours = [[250, 10, 0], [0, 200, 30], [40, 0, 220]]
    pixels = torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(-1, 4, 7, -1)
    units, path = ImageUnits((3, 4, 7)), tmp_path / "page.html"
    x0, labels = units.to_model(pixels), torch.arange(3)
    save_explorer(path, config, make_diffusion(config), units, x0, labels)
    code = """() => {
        const canvas = document.getElementById("picture");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const density = window.devicePixelRatio || 1;
        return [0, 1, 2].map((i) => {
            const [left, top, width, height] = view.where(view.last.size, "forward", 0, i);
            const colours = [0.1, 0.9].map((share) => {
                const x = Math.round((left + share * width) * density);
                const y = Math.round((top + share * height) * density);
                return [...data.subarray(4 * (y * canvas.width + x)).subarray(0, 3)];
            });
            return [colours, width / height];
        });
    }"""
    with visit(path) as page:
        for (found, ratio), colour in zip(page.evaluate(code), colours, strict=True):
            assert found == [colour, colour]
            assert ratio == pytest.approx(7 / 4)


def test_images_too_large_for_a_page_are_refused(tmp_path):
    config = config_of(kind="images", shape=[3, 256, 256])
    units, x0 = ImageUnits((3, 256, 256)), torch.zeros(5, 3, 256, 256)
    model, labels = (lambda x, t: x), torch.zeros(5, dtype=torch.int64)
    path = tmp_path / "page.html"
    with pytest.raises(InputError, match="--num_images"):
        save_explorer(path, config, make_diffusion(config), units, x0, labels, model)


@in_browser
@pytest.mark.parametrize("kind", ["points", "images"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_screen_and_the_theme(kind, width, visit, tmp_path):
    write = write_points if kind == "points" else write_images
    shape = [2] if kind == "points" else [1, 28, 28]
    config = config_of(kind=kind, shape=shape, coordinates="raw", hidden_dims=[32])
    path = write(tmp_path / "page.html", config, random_network(config))
    viewport = {"width": width, "height": 740}
    with visit(path, viewport=viewport, color_scheme="dark") as page:
        for process in ("noise → data", "data → noise"):
            page.get_by_label(process).check()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.locator("button:visible, input:visible, select:visible, canvas:visible")
            for box in (item.bounding_box() for item in boxes.all()):
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(18, 22, 28)"
        dark = picture(page)
        page.get_by_role("button", name="Light").click()
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert picture(page) != dark or kind == "images"


@in_browser
def test_everything_has_a_name_for_screen_readers(visit, tmp_path):
    nameless = """[...document.querySelectorAll('button, input, select, canvas')].filter((item) =>
      !(item.labels?.[0]?.innerText.trim() || item.getAttribute('aria-label') ||
        item.innerText?.trim())).map((item) => item.id)"""
    config = config_of(label_counts=[5, 5])
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        show_reverse(page)
        assert (
            page.evaluate(f"({nameless}).filter((id) => document.getElementById(id).offsetParent)")
            == []
        )
        page.locator("#title").click()
        order = []
        for _ in range(7):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert order == ["theme", "picture", "play", "time", "process", "sampler", "steps"]
