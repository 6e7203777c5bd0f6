"""The scripts as commands that pip installs: `tiny-diffusion-train` is `train.py`, from any folder.

A module can be shadowed by one of the same name: Hugging Face's packages are called `datasets` and
`evaluate`, too. So these functions stand here, and look for the scripts in their own folder first.
"""

from __future__ import annotations

from importlib import import_module

import cli.terminal


def train() -> None:
    run("train")


def sample() -> None:
    run("sample")


def visualize() -> None:
    run("visualize_diffusion")


def evaluate() -> None:
    run("evaluate")


def run(script: str) -> None:
    cli.terminal.prefer_own_modules()
    cli.terminal.run(import_module(script).main)
