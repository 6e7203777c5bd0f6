"""The speed of the page of `--html`: pretrained models of MNIST in a headless Chromium.

    python benchmarks/page.py                    medians of seven; MNIST is downloaded to data/

`first image` is the time from the start of loading the file until the first estimate of x_0 has
arrived, `evaluation` is one evaluation of the network for one image, and `run` is a whole run.
Needs the packages in requirements-dev.txt and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMES = 7
EVALUATION = """() => {
  const network = readNetwork(page.network);
  const x = view.startingNoise(1, 1, schedule.length - 1);
  for (let i = 0; i < 5; i++) network(x, 500, undefined, [3]);
  const since = performance.now();
  for (let i = 0; i < 20; i++) network(x, 500, undefined, [3]);
  return (performance.now() - since) / 20;
}"""
RUN = """async (settings) => {
  set({ ...settings, seed: view.settings.seed + 1 });
  const { run } = view.modes.reverse;
  while (!run.done) await new Promise((resume) => setTimeout(resume, 5));
  return 1000 * run.seconds;
}"""
OPENED = """() => new Promise((resume) => {
  const look = () => {
    if (view.workshop.run.evaluations) resume(performance.now());
    else setTimeout(look, 2);
  };
  look();
})"""


def make_page(model: str, folder: Path, data_dir: Path) -> Path:
    path = folder / f"{model}.html"
    command = ["visualize_diffusion.py", "--checkpoint", model, "--data_dir", data_dir]
    subprocess.run(
        [sys.executable, *command, "--html", path, "--quiet"], check=True, cwd=REPOSITORY
    )
    return path


def measure(browser: Any, path: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Median milliseconds for opening the page, and for runs with these settings in it."""

    def opened() -> Any:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(path.as_uri())
        return page

    def times(act: Callable[[], float]) -> float:
        return median(act() for _ in range(TIMES))

    def open_and_close() -> float:
        page = opened()
        first: float = page.evaluate(OPENED)
        page.close()
        return first

    found = {"first image": times(open_and_close)}
    page = opened()
    page.evaluate(RUN, settings)  # lets the browser compile code that runs often
    found["run"] = times(lambda: page.evaluate(RUN, settings))
    found["evaluation"] = times(lambda: page.evaluate(EVALUATION))
    page.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit(f"needs one of {', '.join(BROWSERS)}")
    plans = {"mnist": {"count": 1}, "mnist_one_step": {"count": 16}}
    print("| page | size | first image | evaluation | run |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for model, settings in plans.items():
            path = make_page(model, Path(folder), args.data_dir.resolve())
            found = {name: f"{ms:.0f} ms" for name, ms in measure(browser, path, settings).items()}
            words = "20 steps of one image" if model == "mnist" else "one step of 16 images"
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            row = (model, size, found["first image"], found["evaluation"], found["run"])
            print(f"| {' | '.join(row)} ({words}) |", flush=True)


if __name__ == "__main__":
    main()
