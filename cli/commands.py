"""The scripts as commands that pip installs: `tiny-diffusion-train` runs `train.py` in any folder.

A module can be shadowed by another of the same name: Hugging Face has packages named `datasets` and
`evaluate`, too. So these functions first look for the scripts in this project's own folder.
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
