"""The page of points, in a browser."""

from itertools import pairwise

import numpy as np
import pytest
from pages import T, config_of, random_network, write_points


def picture(page):
    return page.evaluate("document.getElementById('picture').toDataURL()")


def sampled(page, crowd=0):
    """The samples in the page, when all are done."""
    page.wait_for_function(f"view.crowds[{crowd}].ends")
    found = page.evaluate(f"Array.from(view.crowds[{crowd}].frames.at(-1).x)")
    return np.array(found).reshape(-1, 2)


def test_the_page_offers_the_classes_that_the_network_learned(visit, tmp_path):
    config = config_of(label_counts=[5, 0, 5], label_dropout=0.0)
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        offered = page.get_by_label("Class").locator("option").all_inner_texts()
        assert offered == ["each in turn", "0", "2"]  # not "any", of which it saw no example
        assert not page.get_by_label("Guidance").is_visible()
        assert page.evaluate("view.classOf([0, 1, 2])") == [0, 2, 0]


def test_controls_of_sampling(visit, tmp_path):
    config = config_of()
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        first = sampled(page)
        page.locator("#steps").fill("7")
        page.locator("#steps").blur()
        fewer = sampled(page)
        assert page.evaluate("view.crowds[0].frames.length") == 8
        page.locator("#eta").fill("1")
        noisier = sampled(page)
        assert page.locator("#eta-value").inner_text() == "1"
        page.locator("#sampler").select_option("dpmpp")
        assert page.locator("#eta").is_visible()
        second_order = sampled(page)
        assert page.evaluate("view.crowds[0].frames.length") == 21
        page.locator("#sampler").select_option("heun")
        assert not page.locator("#eta").is_visible()
        heun = sampled(page)
        page.locator("#sampler").select_option("consistency")
        jumped = sampled(page)
        assert page.evaluate("view.crowds[0].frames.length") == 3
        page.locator("#sampler").select_option("ddpm")
        ancestral = sampled(page)
        assert page.evaluate("view.crowds[0].frames.length") == T + 1
        page.get_by_role("button", name="New noise").click()
        other = sampled(page)
        page.locator("#steps").fill("9999")
        page.locator("#steps").blur()
        assert page.locator("#steps").input_value() == str(T)
        page.locator("#steps").fill("")
        page.locator("#steps").blur()
        assert page.locator("#steps").input_value() == str(T)
    made = (first, fewer, noisier, second_order, heun, jumped, ancestral, other)
    assert all(np.isfinite(samples).all() for samples in made)
    assert all(abs(a - b).max() > 1e-3 for a, b in pairwise(made))


def test_noise_dropped_by_a_click_becomes_a_sample(visit, tmp_path):
    config = config_of()
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        before = sampled(page)
        box = page.locator("#picture").bounding_box()
        page.mouse.click(box["x"] + 8, box["y"] + 32)  # below its title
        after = sampled(page)
        assert len(after) == len(before) + 1
        assert abs(after[:-1] - before).max() == 0
        x, y = page.evaluate("Array.from(view.crowds[0].frames[0].x.slice(-2))")
        assert (x, y) == (pytest.approx(-2.9, abs=0.1), pytest.approx(2.9, abs=0.1))
        assert page.evaluate("[...view.followed.reverse]") == [len(before)]
        page.get_by_role("button", name="Drop one").click()
        page.locator("#steps").fill("10")
        page.locator("#steps").blur()
        assert len(sampled(page)) == len(before) + 2
        page.get_by_role("button", name="Clear", exact=True).click()
        assert len(sampled(page)) == len(before)


def test_a_clicked_point_is_followed(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        page.get_by_label("data → noise").check()
        plain = picture(page)
        box = page.locator("#picture").bounding_box()
        left, top = page.evaluate("view.pixel(view.data[0], view.data[1])")
        page.mouse.click(box["x"] + 1 + left, box["y"] + 1 + top)
        assert len(page.evaluate("[...view.followed.forward]")) == 1
        followed = picture(page)
        page.mouse.click(box["x"] + 1 + left, box["y"] + 1 + top)
        assert len(page.evaluate("[...view.followed.forward]")) == 0
        assert followed != plain == picture(page)


@pytest.mark.parametrize("process", ["data → noise", "noise → data"])
def test_layers(process, visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        page.get_by_label(process).check()
        sampled(page)
        page.get_by_role("slider", name="Time").fill("15")
        shown = [picture(page)]
        extras = ["arrows", "field", "density"] + (["paths"] if process == "noise → data" else [])
        for extra in extras:
            page.locator("#extra").select_option(extra)
            shown.append(picture(page))
        page.get_by_label("the data").uncheck()
        shown.append(picture(page))
        assert len(set(shown)) == len(shown)


def test_two_samplers_from_the_same_noise(visit, tmp_path):
    config = config_of()
    with visit(write_points(tmp_path / "page.html", config, random_network(config))) as page:
        first = sampled(page)
        page.locator("#sampler-2").select_option("heun")
        page.locator("#steps-2").fill("4")
        page.locator("#steps-2").blur()
        second = sampled(page, 1)
        starts = page.evaluate("view.crowds.map((crowd) => Array.from(crowd.frames[0].x))")
        assert starts[0] == starts[1]
        assert abs(sampled(page) - first).max() == 0 < abs(second - first).max()
        titles = page.evaluate("view.titles('reverse', last()).map(([full]) => full)")
        assert titles == ["DDIM: 40 of 40 evaluations", "Heun: 7 of 7 evaluations"]
        halfway = page.evaluate("view.titles('reverse', last() / 2)")
        assert halfway[0] == ["DDIM: 20 of 40 evaluations", "DDIM: 20/40"]
        assert halfway[1] == ["Heun: 4 of 7 evaluations", "Heun: 4/7"]
        # A click in the right panel follows the same particle in both.
        page.get_by_role("slider", name="Time").fill("40")
        box = page.locator("#picture").bounding_box()
        shown = "view.pixel(...view.crowds[1].frames.at(-1).x.slice(0, 2))"
        left, top = page.evaluate(f"(view.place = view.places[1], {shown})")
        page.mouse.click(box["x"] + 1 + left, box["y"] + 1 + top)
        assert len(page.evaluate("[...view.followed.reverse]")) == 1
        page.locator("#sampler-2").select_option("ddim")
        page.locator("#eta-2").fill("0.5")
        sampled(page, 1)
        assert page.evaluate("view.titles('reverse', 0)[1][1]") == "DDIM, η 0.5: 0/40"
        page.locator("#sampler-2").select_option("")
        assert page.evaluate("view.crowds.length") == 1


def test_own_points_are_denoised_at_once(visit, tmp_path):
    """All samples are near one of the two spots that were drawn."""
    config = config_of()
    path = write_points(tmp_path / "page.html", config, random_network(config))
    with visit(path, reduced_motion="reduce") as page:
        sampled(page)
        page.get_by_label("your own drawing").check()
        assert page.get_by_label("data → noise").is_checked()
        box = page.locator("#picture").bounding_box()
        for u, v in ((0.25, 0.5), (0.7, 0.3)):
            page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
            page.mouse.down()
            page.mouse.up()
        assert page.get_by_label("noise → data").is_checked()
        samples = sampled(page)
        spots = np.array(page.evaluate("view.strokes")).reshape(2, -1, 2).mean(axis=1)
        assert abs(spots[0] - spots[1]).max() > 1
        away = np.linalg.norm(samples[:, None] - spots, axis=2)
        assert (away.min(axis=1) < 0.2).all()
        assert {*away.argmin(axis=1)} == {0, 1}
        before = page.evaluate("view.strokes.length")
        page.locator("#picture").focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        assert page.evaluate("view.strokes.length") > before
        assert page.evaluate("view.strokes.slice(-1)[0]") == pytest.approx(0.1, abs=0.2)
        page.get_by_role("button", name="Clear the drawing").click()
        assert page.evaluate("view.data.length") == 0
        page.get_by_label("noise → data").check()
        assert page.evaluate("view.crowds[0].frames.length") == 0  # of nothing
        assert page.get_by_role("button", name="Drop one").is_disabled()
        page.get_by_role("radio", name="moons").check()
        assert len(sampled(page)) == len(samples)
        assert page.evaluate("view.data.length") == 400


def test_strokes_stay_within_the_picture_and_players_do_not_meet(visit, tmp_path):
    with visit(write_points(tmp_path / "page.html", config_of())) as page:
        page.get_by_label("your own drawing").check()
        box = page.locator("#picture").bounding_box()
        middle = box["y"] + box["height"] / 2
        for _ in range(2):  # the second while the first still plays
            page.mouse.move(box["x"] + 60, middle)
            page.mouse.down()
            page.mouse.move(box["x"] - 50, middle, steps=5)
            page.mouse.move(box["x"] + 90, middle, steps=5)
            page.mouse.up()
        strokes = np.array(page.evaluate("view.strokes"))
        assert abs(strokes).max() < page.evaluate("view.reach") + 0.3
        sampled(page)
        page.get_by_role("button", name="Pause").click()
        at = page.evaluate("position()")
        page.wait_for_timeout(250)
        assert page.evaluate("position()") == at


def test_models_for_few_steps_begin_with_their_sampler(visit, tmp_path):
    for objective, steps in (("consistency", 1), ("shortcut", 2)):
        config = config_of(objective=objective, label_counts=[5, 5], guidance=None)
        path = write_points(tmp_path / "page.html", config, random_network(config))
        with visit(path) as page:
            assert page.locator("#sampler").input_value() == objective
            assert page.locator("#steps").input_value() == str(steps)
            sampled(page)
            assert page.evaluate("view.crowds[0].frames.length") == steps + 1
            # A tuned model has its guidance in it.
            assert page.locator("#guidance").is_visible() == (objective == "shortcut")
            offered = page.locator("#sampler option").evaluate_all("all => all.map((o) => o.value)")
            assert ("shortcut" in offered) == (objective == "shortcut")
