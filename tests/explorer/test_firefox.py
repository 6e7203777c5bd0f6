"""The driver of Firefox, on a small page whose policy is as strict as the explorer's."""

import struct

import pytest
from firefox import PROGRAM, firefox, needs_firefox

pytestmark = needs_firefox
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
HTML = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<style>canvas { position: absolute; left: 0; top: 0; background: teal; touch-action: none }</style>
<canvas width="200" height="100"></canvas>
<p style="margin-top: 2000px"><input id="name"><button>Count</button></p>
<script>
"use strict";
const given = 40; // Names that the driver uses too
let it = 0, late = false;
class Thing { size = 7 }
const seen = [];
const canvas = document.querySelector("canvas");
for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
  canvas.addEventListener(kind, ({ pointerType, offsetX, offsetY, buttons }) =>
    seen.push([kind, pointerType, Math.round(offsetX), Math.round(offsetY), buttons]));
canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
document.querySelector("button").onclick = () => { it += 1; };
setTimeout(() => { late = true; }, 100);
</script>
"""


@pytest.fixture(scope="module")
def browser():
    with firefox(PROGRAM, {"ui.systemUsesDarkTheme": 1}) as page:
        yield page


@pytest.fixture
def page(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(HTML.replace("{policy}", POLICY), encoding="utf-8")
    browser.resize(800, 600)
    browser.goto(path.as_uri())
    return browser


def test_scripts_see_what_those_of_the_page_declare(page):
    assert page.evaluate("given + new Thing().size") == 47
    assert page.evaluate("(a, b) => [a.x * given, b]", {"x": 2}, "β") == [80, "β"]
    assert page.evaluate("() => { it = 5; }") is None
    assert page.evaluate("Promise.resolve(it) // a comment") == 5
    assert page.evaluate("(text) => text.length", "x" * 300_000) == 300_000
    assert page.evaluate("'é'.repeat(100_000)") == "é" * 100_000


def test_a_script_that_fails_says_so(page):
    with pytest.raises(RuntimeError, match="nowhere is not defined"):
        page.evaluate("nowhere")
    with pytest.raises(RuntimeError, match="SyntaxError"):
        page.evaluate("(")


def test_waiting(page):
    assert page.wait_for("late")
    with pytest.raises(TimeoutError, match="it > 9"):
        page.wait_for("it > 9", seconds=0.1)


def test_clicks_and_keys(page):
    page.click("button")
    page.click("button", kind="touch")
    assert page.evaluate("it") == 2
    page.click("#name")
    page.type("a+bé")
    page.press("Shift", "ArrowLeft")
    page.press("Delete")
    assert page.evaluate("document.getElementById('name').value") == "a+b"
    page.press("Tab")
    page.press("Enter")
    page.press(" ")
    assert page.evaluate("it") == 4


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_drags(kind, page):
    page.drag((20, 30), (60, 40), (250, 50), kind=kind)
    moves = [event for event in page.evaluate("seen") if event[4] or event[0] != "pointermove"]
    assert moves == [
        ["pointerdown", kind, 20, 30, 1],
        ["pointermove", kind, 60, 40, 1],
        ["pointermove", kind, 250, 50, 1],
        ["pointerup", kind, 250, 50, 0],
    ]
    page.hover(5, 6)
    assert page.evaluate("seen.at(-1)") == ["pointermove", "mouse", 5, 6, 0]


def test_the_window(page, tmp_path):
    page.resize(360, 740)
    assert page.evaluate("[innerWidth, innerHeight]") == [360, 740]
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.screenshot(tmp_path / "page.png")
    assert struct.unpack(">II", (tmp_path / "page.png").read_bytes()[16:24]) == (360, 740)


def test_messages_and_errors_are_heard(page):
    assert page.messages() == []
    page.evaluate("console.log('one', 2)")
    page.evaluate("() => { setTimeout(() => { throw new TypeError('three'); }); }")
    page.evaluate("() => { Promise.reject(new Error('four')); }")
    page.evaluate("() => { canvas.style.background = 'url(http://127.0.0.1:8000/five)'; }")
    messages = page.messages()
    assert {"one 2", "TypeError: three", "Error: four"} < set(messages)
    assert len(messages) == 4
    assert "img-src" in "".join(messages)
    assert page.requests() == []


def test_requests_are_heard(browser, tmp_path):
    path, wanted = tmp_path / "page.html", ["https://one.test/", "https://two.test/"]
    path.write_text("".join(f"<img src={address}>" for address in wanted))
    browser.goto(path.as_uri())
    assert sorted(browser.requests()) == wanted


def test_a_browser_that_ends_says_so(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho no display\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="no display"), firefox(program):
        pass
