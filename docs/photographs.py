"""Screenshots of the page of --html in use, for the README."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The strokes of a seven, in shares of the sides of the canvas.
SEVEN = ((0.26, 0.28), (0.45, 0.24), (0.72, 0.24), (0.6, 0.5), (0.48, 0.82))
WHERE = "view.where(view.panels[0], view.unit, 0)"


def photograph(page: Path, made: Path, act: Callable[[Any], None]) -> bool:
    """Open a page in a browser, act on it, and take a screenshot.

    Returns:
        Whether a browser is available; if not, a message is printed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print(f"left out: {made.name}, which needs the packages of requirements-dev.txt")
        return False
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"left out: {made.name}, which needs one of {', '.join(BROWSERS)}")
        return False
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        size = {"width": 1200, "height": 750}
        opened = browser.new_context(viewport=size, bypass_csp=True).new_page()
        opened.goto(page.as_uri())
        act(opened)
        opened.screenshot(path=made)
        browser.close()
    return True


def draw_a_seven(page: Any) -> None:
    """Draw a seven, and let the network turn it into a digit."""
    page.get_by_label("draw", exact=True).check()
    box, (left, top, width, height) = page.locator("#picture").bounding_box(), page.evaluate(WHERE)
    places = [(box["x"] + left + u * width, box["y"] + top + v * height) for u, v in SEVEN]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.get_by_label("Class").select_option("7")
    page.locator("#strength").fill("0.75")
    page.get_by_role("button", name="Make it real").click()
    page.wait_for_function("view.modes.edit.finished()")
    page.get_by_role("slider", name="Time").fill("7")


def compare_samplers(page: Any) -> None:
    """Run two samplers halfway from the same noise, and follow some particles."""
    page.locator("#sampler-2").select_option("heun")
    page.locator("#steps-2").fill("10")
    page.locator("#steps-2").blur()
    page.wait_for_function("view.crowds.length === 2 && view.crowds.every((crowd) => crowd.ends)")
    page.locator("#extra").select_option("density")
    page.get_by_role("slider", name="Time").fill("34")
    for u, v in ((0.1, 0.2), (0.35, 0.85), (0.42, 0.3)):
        box = page.locator("#picture").bounding_box()
        page.locator("#picture").click(position={"x": u * box["width"], "y": v * box["height"]})
    page.wait_for_function("view.crowds.every((crowd) => crowd.ends)")
