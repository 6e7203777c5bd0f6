"""Advice from train.py: whether a run is long enough, and which commands to type next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.config import OUTPUT_DIR
from cli.options import DATA_DIR
from names import FEW_STEPS

# Optimizer steps until samples begin to look like the data, at the default batch size
# (docs/RESULTS.md, "How long a run has to be"). With labels, samples must also follow the labels.
ENOUGH_STEPS = {"points": 400, "images": 300}
ENOUGH_WITH_LABELS = 600


def enough_steps(config: Mapping[str, Any]) -> int:
    """The approximate number of training steps after which samples of such a run look right."""
    labelled = config["kind"] == "images" and bool(config["label_counts"])
    return ENOUGH_WITH_LABELS if labelled else ENOUGH_STEPS[config["kind"]]


def too_short(steps: int, config: Mapping[str, Any]) -> str | None:
    """A warning if a run has too few steps for good samples; None for other runs."""
    enough = enough_steps(config)
    if steps >= enough or config["objective"] in FEW_STEPS:
        return None
    labelled = config["kind"] == "images" and config["label_counts"]
    labels = " and to follow the labels" if labelled else ""
    data = " or a larger --subset" if config["subset"] else ""
    return (
        f"note: this run has only {steps:,} steps; samples begin to look like the data{labels}"
        f" after about {enough:,} (use more --epochs{data})"
    )


def start_of(script: str) -> str:
    """The command that starts another script in the same way as this one was started."""
    program = Path(sys.argv[0])
    if program.stem.startswith("tiny-diffusion-"):
        return f"tiny-diffusion-{script.removesuffix('_diffusion.py').removesuffix('.py')}"
    return f"python {shlex.quote(str(program.with_name(script)))}"


def next_commands(config: Mapping[str, Any], folder: Path) -> str:
    """The commands to type after a run in `folder`: to sample, to write a page, to evaluate."""
    model = f"--checkpoint {shlex.quote(str(folder / 'model_final.pt'))}"
    chosen = "" if folder == OUTPUT_DIR else f" {model}"
    few = config["objective"] in FEW_STEPS
    sample = chosen if few else f"{chosen} --show_intermediate"
    if config["label_counts"] and config["label_dropout"] and not few:
        sample += " --guidance 2"
    measure, data_dir = chosen, ""
    if config["kind"] == "images":
        if (folder_of_data := str(config["data_dir"])) != str(DATA_DIR.default):
            data_dir = f" --data_dir {shlex.quote(folder_of_data)}"
        measure += data_dir
        if len(config["class_names"]) < 2:
            measure += " --features inception   # first: pip install torch-fidelity"
    lines = [
        f"{start_of('sample.py')}{sample}",
        f"{start_of('visualize_diffusion.py')} {model} --html{data_dir}",
    ]
    if config["holdout"] != 0:  # else no picture is left to compare with
        lines.append(f"{start_of('evaluate.py')}{measure}")
    return "\n".join(f"  {line}" for line in lines)
