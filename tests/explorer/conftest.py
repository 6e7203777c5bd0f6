"""Browsers for the tests of the page."""

import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def browser():
    if PROGRAM is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens files; at the end, checks that no page reported an error or requested anything else."""
    complaints, requests = [], []

    @contextmanager
    def visiting(path, **settings):
        # Without the page's policy, which would hinder the tests, and hide what it asks for.
        settings = {"viewport": {"width": 1000, "height": 800}, "bypass_csp": True, **settings}
        with browser.new_context(**settings) as context:
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            context.on("request", lambda request: requests.append(request.url))
            page.goto(path.as_uri())
            yield page
        assert not complaints
        # The worker is made from the page itself.
        assert [url for url in requests if not url.startswith("blob:")] == [path.as_uri()]
        requests.clear()

    return visiting
