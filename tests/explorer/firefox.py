"""Drives Firefox, Debian's too, by WebDriver BiDi, with no other program or package.

Playwright has no touch there, and from 1.65 on it asks for more than Firefox ESR 153 can do.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

BROWSERS = ("firefox-esr", "firefox")
PROGRAM = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_firefox = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(BROWSERS)} is here")
SECONDS = 30  # that an answer may take
# A Firefox that is driven makes no updates, reports or look-ups of its own. What it or a page
# asks for all the same goes to a proxy that is not there; files and localhost need none.
OFFLINE = {"network.dns.disabled": True, "network.proxy.type": 1}
OFFLINE |= {f"network.proxy.{kind}": "127.0.0.1" for kind in ("http", "ssl")}
OFFLINE |= {f"network.proxy.{kind}_port": 9 for kind in ("http", "ssl")}
NAMES = "PageUp PageDown End Home ArrowLeft ArrowUp ArrowRight ArrowDown"
KEYS = dict(zip(NAMES.split(), map(chr, range(0xE00E, 0xE016)), strict=True))
KEYS |= {"Backspace": "\ue003", "Tab": "\ue004", "Enter": "\ue006", "Shift": "\ue008"}
KEYS |= {"Control": "\ue009", "Alt": "\ue00a", "Escape": "\ue00c", "Delete": "\ue017"}
# The script stands outside the inner function, whose names would hide those of the page.
CALL = """function () { return (async (it, given) => JSON.stringify(
  await (typeof it === "function" ? it(...JSON.parse(given)) : it)))((SCRIPT\n), arguments[0]) }"""
CENTRE = """(selector) => {
  const element = document.querySelector(selector);
  element.scrollIntoView({ block: "nearest" });
  const { x, y, width, height } = element.getBoundingClientRect();
  return [x + width / 2, y + height / 2];
}"""


@contextmanager
def firefox(program, preferences=()):
    """A page in a Firefox that has a profile of its own, and ends with the block."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as home:
        log, preferences = Path(home, "log.txt"), OFFLINE | dict(preferences)
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in preferences.items()]
        Path(home, "user.js").write_text("\n".join(lines))
        command = [program, "--headless", "--remote-debugging-port=0", "--profile", home]
        # It would leave some files in the home of whoever tests.
        environment = os.environ | {"HOME": home, "MOZ_CRASHREPORTER_DISABLE": "1"}
        with log.open("w") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            end = time.monotonic() + SECONDS
            while not (port := re.search(r"BiDi listening on ws://.*:(\d+)\n", log.read_text())):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"Firefox did not start: {log.read_text()}")
                time.sleep(0.02)
            address = f"ws://127.0.0.1:{port[1]}/session"
            with connect(address, max_size=None, proxy=None) as connection:
                page = Page(connection)
                yield page
                page.send("browser.close")
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()


class Page:
    def __init__(self, connection):
        self.connection, self.count, self.events = connection, 0, []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        # The tab that is there from the start has no focus.
        self.context = self.send("browsingContext.create", type="tab")["context"]

    def send(self, method, **parameters):
        """The answer to a command of https://w3c.github.io/webdriver-bidi."""
        self.count += 1
        command = {"id": self.count, "method": method, "params": parameters}
        self.connection.send(json.dumps(command))
        while (message := json.loads(self.connection.recv(SECONDS))).get("id") != self.count:
            self.events.append((message["method"], message["params"]))
        if message["type"] == "error":
            raise RuntimeError(f"{method}: {message['message']}")
        return message["result"]

    def goto(self, url):
        self.events.clear()
        self.send("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def evaluate(self, script, *arguments):
        """The value, as JSON, of an expression, of a function of the arguments or of a promise."""
        answer = self.send(
            "script.callFunction",
            functionDeclaration=CALL.replace("SCRIPT", script),
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def wait_for(self, script, *arguments, seconds=10):
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script, *arguments)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {script}")
            time.sleep(0.02)
        return value

    def act(self, **source):
        self.send("input.performActions", context=self.context, actions=[source])

    def press(self, *keys):
        """Presses keys, each while those before it are down: "Shift", "Tab"."""
        codes = [KEYS.get(key, key) for key in keys]
        down = [{"type": "keyDown", "value": code} for code in codes]
        up = [{"type": "keyUp", "value": code} for code in reversed(codes)]
        self.act(type="key", id="keys", actions=[*down, *up])

    def type(self, text):
        for character in text:
            self.press(character)

    def hover(self, x, y):
        self.act(type="pointer", id="mouse", actions=[{"type": "pointerMove", "x": x, "y": y}])

    def drag(self, *points, kind="mouse"):
        """Puts the mouse, or a finger (touch), down at the first point and up at the last."""
        first, *others = [{"type": "pointerMove", "x": x, "y": y} for x, y in points]
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        actions, parameters = [first, down, *others, up], {"pointerType": kind}
        self.act(type="pointer", id=kind, parameters=parameters, actions=actions)

    def click(self, selector, kind="mouse"):
        self.drag(self.evaluate(CENTRE, selector), kind=kind)

    def resize(self, width, height):
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self.context, viewport=viewport)

    def screenshot(self, path):
        answer = self.send("browsingContext.captureScreenshot", context=self.context)
        Path(path).write_bytes(base64.b64decode(answer["data"]))

    def messages(self):
        """What the page has written to the console, and its errors."""
        return [entry["text"] for entry in self.heard("log.entryAdded")]

    def requests(self):
        """The addresses that the page has asked for, besides files and data."""
        asked = [event["request"]["url"] for event in self.heard("network.beforeRequestSent")]
        return [url for url in asked if not url.startswith("data:")]

    def heard(self, method):
        # A style asks for things in the next frame, and Firefox tells of everything a little late.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
        return [parameters for name, parameters in self.events if name == method]
