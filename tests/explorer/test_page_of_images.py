"""The page of images, in a browser: the network samples, edits and morphs in its worker."""

import numpy as np
import pytest
import torch
from pages import T, embedded, images_config, in_half, numbers, random_network, write_images

from diffusion import make_diffusion
from guidance import Conditioned, guided
from samplers import ddim, dpmpp, final, trailing_timesteps


def picture(page):
    return page.evaluate("document.getElementById('picture').toDataURL()")


def made(page, mode="reverse"):
    """The pixels of the samples, when all are done."""
    page.wait_for_function(f"view.modes.{mode}.run?.done")
    found = page.evaluate(f"Array.from(view.modes.{mode}.run.frames.at(-1).x)")
    return torch.tensor(found, dtype=torch.uint8)


def set_number(page, box, number):
    page.locator(box).fill(str(number))
    page.locator(box).blur()


@pytest.mark.parametrize(
    ("changes", "sampler", "steps", "guidance"),
    [
        ({}, "dpmpp", 7, 1),
        ({"schedule": "flow", "prediction": "v"}, "ddim", 5, 1),
        ({"label_counts": [5, 5, 5]}, "ddim", 6, 2.5),
        ({"shape": [3, 16, 20]}, "dpmpp", 5, 1),
        ({"model": "mlp", "hidden_dims": [32, 32]}, "ddim", 6, 1),
    ],
)
def test_samples_are_those_of_pytorch(changes, sampler, steps, guidance, visit, tmp_path):
    """Equal to the pixel, from the noise of the page's seed, with all controls."""
    config = images_config(**changes)
    model, diffusion = in_half(random_network(config)), make_diffusion(config)
    with visit(write_images(tmp_path / "page.html", config, model)) as page:
        page.locator("#sampler").select_option(sampler)
        set_number(page, "#steps", steps)
        set_number(page, "#count", 3)
        if guidance != 1:
            set_number(page, "#guidance", guidance)
        set_number(page, "#seed", 5)
        pixels = made(page)
        noise = page.evaluate("Array.from(view.startingNoise(5, 3, schedule.length - 1))")
        evaluations = page.evaluate("view.modes.reverse.run.evaluations")
    x = torch.tensor(noise, dtype=torch.float32).view(3, *config["shape"])
    labels = torch.arange(3) if config["label_counts"] else None
    network = Conditioned(model, labels)
    if labels is not None:
        network = guided(model, labels, 3, guidance)
    run = {"ddim": ddim, "dpmpp": dpmpp}[sampler]
    timesteps = trailing_timesteps(T, steps)
    expected = final(run(diffusion.denoiser(network), x, diffusion.schedule, timesteps))
    assert expected.std() > 0.1
    expected = expected.add(1).mul(127.5).round().clamp(0, 255).flatten()
    assert abs(pixels.float() - expected).max() <= 1
    assert evaluations == 3 * steps * (1 if guidance == 1 else 2)


def test_the_states_stay_to_be_looked_at(visit, tmp_path):
    config = images_config()
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        made(page)
        page.wait_for_function("position() === last()")
        assert page.evaluate("last()") == 20
        assert "80 evaluations" in page.locator("#busy").inner_text()
        shown = [picture(page)]
        for k in (0, 10):
            page.get_by_role("slider", name="Time").fill(str(k))
            shown.append(picture(page))
            t = trailing_timesteps(T, 20)[k]
            assert page.locator("#t").inner_text() == str(t)
        page.get_by_label("data → noise").check()
        shown.append(picture(page))
        page.get_by_role("slider", name="Time").fill(str(T))
        shown.append(picture(page))
        assert len(set(shown)) == 5


def test_a_run_can_be_stopped_and_overtaken(visit, tmp_path):
    config = images_config(timesteps=1000, shape=[1, 28, 28])
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        page.locator("#sampler").select_option("ddpm")
        page.wait_for_function("view.modes.reverse.run.frames.length > 3")
        assert page.evaluate("last()") == 250  # as many as are kept
        assert page.get_by_label("Evaluations of the network").is_visible()
        page.get_by_role("button", name="Stop").click()
        assert page.locator("#busy").inner_text() == "Stopped."
        assert not page.get_by_role("button", name="Stop").is_visible()
        count = page.evaluate("view.modes.reverse.run.frames.length")
        page.wait_for_timeout(300)
        assert page.evaluate("view.modes.reverse.run.frames.length") == count < 250
        # The slider ends where it was stopped.
        page.get_by_role("slider", name="Time").press("End")
        assert page.evaluate("position()") == count - 1
        t = page.evaluate("view.modes.reverse.run.frames.at(-1).t")
        assert page.locator("#t").inner_text() == str(t)
        set_number(page, "#count", 1)  # begins anew
        page.wait_for_function("view.modes.reverse.run.frames.length > 3")
        page.locator("#sampler").select_option("heun")
        set_number(page, "#steps", 3)
        assert made(page).shape == (784,)
        assert page.evaluate("view.modes.reverse.run.frames.length") == 4
        assert page.evaluate("view.modes.reverse.run.evaluations") == 5


def test_looking_back_while_it_runs(visit, tmp_path):
    """The slider stays where the user put it, although newer states arrive."""
    config = images_config(timesteps=1000, shape=[1, 28, 28])
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        page.locator("#sampler").select_option("ddpm")
        page.wait_for_function("position() > 3")
        page.get_by_role("slider", name="Time").fill("2")
        count = page.evaluate("view.modes.reverse.run.frames.length")
        page.wait_for_function(f"view.modes.reverse.run.frames.length > {count + 3}")
        assert page.evaluate("position()") == 2


def test_seeds_and_counts(visit, tmp_path):
    config = images_config(label_counts=[5, 5, 5], class_names=["cat", "dog", "owl"])
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        set_number(page, "#steps", 3)
        four = made(page).view(4, -1)
        set_number(page, "#count", 2)
        assert torch.equal(made(page).view(2, -1), four[:2])
        page.get_by_role("button", name="New noise").click()
        assert page.locator("#seed").input_value() == "2"
        other = made(page)
        assert not torch.equal(other.view(2, -1), four[:2])
        set_number(page, "#seed", 1)
        assert torch.equal(made(page).view(2, -1), four[:2])
        words = "view.panels[0].words"
        assert page.evaluate(words) == ["cat", "dog"]
        page.get_by_label("Class").select_option("owl")
        assert page.evaluate(words) == ["owl", "owl"]
        assert not torch.equal(made(page).view(2, -1), four[:2])
        page.get_by_label("Class").select_option("any")
        assert page.evaluate(words) is None
        page.get_by_label("Class").select_option("each in turn")
        set_number(page, "#count", 1)  # which has no turn, so it is of any class
        made(page)
        assert page.evaluate(words) is None


def test_an_image_can_be_enlarged(visit, tmp_path):
    config = images_config()
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        made(page)
        page.get_by_label("Enlarge").select_option("image 3")
        assert page.evaluate("view.panels.map((panel) => panel.images.length)") == [1, 1]
        width = page.evaluate("view.where(view.panels[0], view.unit, 0)[2]")
        page.locator("#picture").click(position={"x": 50, "y": 60})
        assert page.get_by_label("Enlarge").input_value() == ""
        assert page.evaluate("view.where(view.panels[0], view.unit, 0)[2]") < 0.6 * width
        left, top, *_ = page.evaluate("view.where(view.panels[1], view.unit, 3)")
        page.locator("#picture").click(position={"x": left + 9, "y": top + 9})
        assert page.get_by_label("Enlarge").input_value() == "3"


# -------------------------------------------------------------------------------------- drawing


def draw(page, *places, size=None):
    """Drags over the drawing, by shares of its sides."""
    box = page.locator("#picture").bounding_box()
    left, top, width, height = page.evaluate("view.where(view.panels[0], view.unit, 0)")
    at = [(box["x"] + 1 + left + u * width, box["y"] + 1 + top + v * height) for u, v in places]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def drawing(page, shape):
    return torch.tensor(page.evaluate("Array.from(view.modes.edit.pixels)")).view(shape)


def test_pen_and_eraser(visit, tmp_path):
    config = images_config(shape=[3, 16, 20])
    x0 = torch.full((4, 3, 16, 20), -1.0)
    x0[:, 2, 0, 0] = 0.0  # a blue background, by its corners
    path = write_images(tmp_path / "page.html", config, random_network(config), x0)
    with visit(path) as page:
        page.get_by_label("draw", exact=True).check()
        blank = drawing(page, (3, 16, 20))
        assert blank[:, 5, 5].tolist() == [0, 0, 128]
        page.get_by_label("Colour").fill("#ff8000")
        draw(page, (0.2, 0.5), (0.8, 0.5))
        drawn = drawing(page, (3, 16, 20))
        assert abs(drawn[:, 8, 10] - torch.tensor([255, 128, 0])).max() < 16  # near its edge
        assert torch.equal(drawn[:, :5], blank[:, :5])
        page.get_by_label("eraser").check()
        draw(page, (0.1, 0.5), (0.9, 0.5))
        assert torch.equal(drawing(page, (3, 16, 20))[:, 8, 3:17], blank[:, 8, 3:17])
        page.get_by_role("button", name="Take an image").click()
        assert drawing(page, (3, 16, 20))[:, 3, 3].tolist() == [0, 0, 0]
        page.get_by_role("button", name="Clear", exact=True).click()
        assert torch.equal(drawing(page, (3, 16, 20)), blank)


def test_a_drawing_is_made_real_as_by_pytorch(visit, tmp_path):
    config = images_config()
    model, diffusion = in_half(random_network(config)), make_diffusion(config)
    with visit(write_images(tmp_path / "page.html", config, model)) as page:
        page.get_by_label("draw", exact=True).check()
        draw(page, (0.3, 0.3), (0.6, 0.8))
        page.locator("#strength").fill("0.5")
        set_number(page, "#steps", 6)
        page.get_by_role("button", name="Make it real").click()
        pixels = made(page, "edit")
        x0 = drawing(page, (1, 1, 16, 16)).float() / 127.5 - 1
        noise = torch.tensor(page.evaluate("Array.from(imageNoise(1, -1, 1, 256))"))
        page.get_by_role("button", name="Keep the result").click()
        assert torch.equal(drawing(page, -1).to(torch.uint8), pixels)
    assert x0.max() > 0.9
    timesteps = trailing_timesteps(20, 6)
    t = torch.tensor([timesteps[0]])
    x = diffusion.add_noise(x0, t, noise.view_as(x0).float())
    states = dpmpp(diffusion.denoiser(model), x, diffusion.schedule, timesteps)
    expected = final(states).add(1).mul(127.5).round().clamp(0, 255).flatten()
    assert abs(pixels.float() - expected).max() <= 1


def test_a_hole_is_filled_and_the_rest_kept(visit, tmp_path):
    config = images_config(label_counts=[5, 5])
    model = random_network(config)
    with visit(write_images(tmp_path / "page.html", config, model)) as page:
        page.get_by_label("draw", exact=True).check()
        page.get_by_role("button", name="Take an image").click()
        before = drawing(page, (16, 16))
        assert page.get_by_role("button", name="Fill the hole").is_disabled()
        page.get_by_label("hole").check()
        draw(page, (0.2, 0.3), (0.8, 0.3))
        hole = torch.tensor(page.evaluate("Array.from(view.modes.edit.hole)")).view(16, 16).bool()
        assert 10 < hole.sum() < 100
        page.get_by_role("button", name="Fill the hole").click()
        filled = made(page, "edit").view(16, 16)
        evaluations = page.evaluate("view.modes.edit.run.evaluations")
        assert evaluations == page.evaluate("view.modes.edit.run.total") == 19 * 4 + 1
        assert abs(filled.int() - before.int())[~hole].max() <= 1
        assert abs(filled.int() - before.int())[hole].float().mean() > 5
        # The same hole under another class.
        page.get_by_label("Class").select_option("1")
        page.get_by_role("button", name="Fill the hole").click()
        other = made(page, "edit").view(16, 16)
        assert not torch.equal(other, filled)


def test_drawing_by_the_keyboard(visit, tmp_path):
    config = images_config()
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        page.get_by_label("draw", exact=True).check()
        page.get_by_role("button", name="Clear", exact=True).click()
        before = drawing(page, (16, 16))
        page.locator("#picture").focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        changed = (drawing(page, (16, 16)) != before).nonzero().float().mean(dim=0)
        assert changed.tolist() == [7, 7]


@pytest.mark.parametrize("pinch", [False, True])
def test_fingers_draw_and_pinch(pinch, visit, tmp_path):
    """One finger draws; gestures with two fingers are left to the browser."""
    config = images_config()
    path = write_images(tmp_path / "page.html", config, random_network(config))
    touch = """([dx, pinch]) => {
      const canvas = document.getElementById("picture");
      const box = canvas.getBoundingClientRect();
      const at = (id, type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId: id, isPrimary: id === 1, pointerType: "touch", bubbles: true,
        clientX: box.x + x, clientY: box.y + y }));
      canvas.setPointerCapture = () => {};
      at(1, "pointerdown", 40, 60);
      if (pinch) at(2, "pointerdown", 90, 120);
      at(1, "pointermove", 40 + dx, 60);
      at(1, "pointerup", 40 + dx, 60);
    }"""
    with visit(path, has_touch=True, viewport={"width": 360, "height": 740}) as page:
        page.get_by_label("draw", exact=True).check()
        style = page.locator("#picture").evaluate("canvas => canvas.style.touchAction")
        assert style == "pinch-zoom"
        page.get_by_role("button", name="Clear", exact=True).click()
        before = drawing(page, (16, 16))
        page.evaluate(touch, [60, pinch])
        width = page.evaluate("view.unit * 2")
        far = int(16 * (40 + 55) / width)
        row = int(16 * (60 - 24) / width)
        assert (drawing(page, (16, 16))[row, far] != before[row, far]).item() is not pinch


def test_an_error_in_the_worker_is_shown(visit, tmp_path):
    config = images_config()
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        made(page)
        page.evaluate("void view.start(new Float64Array(256), [9], { visits: 1 })")
        page.wait_for_function("view.workshop.broken")
        page.wait_for_function(
            "document.getElementById('busy').textContent.includes('cannot be run')"
        )
        assert not page.get_by_role("button", name="Stop").is_visible()


def test_the_pen_is_seen_on_white_paper(visit, tmp_path):
    config = images_config()
    x0 = torch.ones(4, 1, 16, 16)
    path = write_images(tmp_path / "page.html", config, random_network(config), x0)
    with visit(path) as page:
        page.get_by_label("draw", exact=True).check()
        draw(page, (0.3, 0.3), (0.6, 0.8))
        assert drawing(page, (16, 16)).min() < 30


# ----------------------------------------------------------------------------------------- morphing


def test_morphing_between_two_seeds(visit, tmp_path):
    config = images_config()
    with visit(write_images(tmp_path / "page.html", config, random_network(config))) as page:
        set_number(page, "#steps", 3)
        set_number(page, "#count", 1)
        ends = [made(page)]
        set_number(page, "#seed", 2)
        ends.append(made(page))
        page.get_by_label("morph").check()
        first = made(page, "morph")
        page.locator("#between").fill("1")
        page.wait_for_function("view.modes.morph.run.done && view.workshop.run.done")
        page.wait_for_function("view.modes.morph.run === view.workshop.run")
        last = made(page, "morph")
        box = page.locator("#picture").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=3)
        page.mouse.up()
        assert float(page.locator("#between").input_value()) == pytest.approx(0.5, abs=0.02)
        assert page.locator("#between-value").inner_text() == page.locator("#between").input_value()
        page.wait_for_function("view.workshop.run.done")
        page.wait_for_function("view.modes.morph.run === view.workshop.run")
        middle = made(page, "morph")
        page.locator("#picture").focus()
        page.keyboard.press("ArrowRight")
        assert float(page.locator("#between").input_value()) == pytest.approx(0.52, abs=0.02)
        sizes = page.evaluate("[0, 0.3, 1].map((u) => Math.hypot(...slerp([3, 4], [-4, 3], u)))")
        assert sizes == pytest.approx([5, 5, 5])
    assert torch.equal(first, ends[0])
    assert torch.equal(last, ends[1])
    assert not torch.equal(middle, first)
    assert not torch.equal(middle, last)


# ---------------------------------------------------------------------------------------- forward


def test_colour_images_that_are_not_square(visit, tmp_path):
    """Each image has a single colour, and so has its place in the picture."""
    config = images_config(shape=[3, 4, 7])
    colours = [[250, 10, 0], [0, 200, 30], [40, 0, 220]]
    x0 = torch.tensor(colours)[:, :, None, None].expand(-1, -1, 4, 7) / 127.5 - 1
    path = write_images(tmp_path / "page.html", config, x0=x0)
    code = """() => {
        const canvas = document.getElementById("picture");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const density = window.devicePixelRatio || 1;
        const { panels, unit } = view;
        return [0, 1, 2].map((i) => {
            const [left, top, width, height] = view.where(panels[0], unit, i);
            const colours = [0.1, 0.9].map((share) => {
                const x = Math.round((left + share * width) * density);
                const y = Math.round((top + share * height) * density);
                return [...data.subarray(4 * (y * canvas.width + x)).subarray(0, 3)];
            });
            return [colours, width / height];
        });
    }"""
    with visit(path) as page:
        assert not page.locator("#process").is_visible()  # there is no network
        for (found, ratio), colour in zip(page.evaluate(code), colours, strict=True):
            assert found == [colour, colour]
            assert ratio == pytest.approx(7 / 4)


def test_pixels_in_the_page_are_the_data(tmp_path):
    config = images_config(shape=[3, 16, 18])
    x0 = torch.rand(3, 3, 16, 18) * 2 - 1
    images = embedded(write_images(tmp_path / "page.html", config, x0=x0))["images"]
    expected = x0.add(1).mul(127.5).round().numpy().astype(np.uint8).ravel()
    assert np.array_equal(numbers(images["pixels"], np.uint8), expected)
