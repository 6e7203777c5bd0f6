"""What train.py says beside what it does: warnings of short runs, and commands that come next."""

import shlex
import sys
from pathlib import Path

import pytest
from scripts import succeed

import cli.sample_options
import evaluate
import visualize_diffusion
from cli.advice import ENOUGH_STEPS, ENOUGH_WITH_LABELS, next_commands, too_short

POINTS = {
    "kind": "points",
    "objective": "denoising",
    "label_counts": [],
    "class_names": [],
    "label_dropout": None,
    "data_dir": "data",
    "holdout": None,
    "subset": None,
}
IMAGES = {**POINTS, "kind": "images", "class_names": ["a", "b"]}
LABELLED = {**IMAGES, "label_counts": [5, 5], "label_dropout": 0.1}


@pytest.mark.parametrize(
    ("config", "enough"),
    [
        (POINTS, ENOUGH_STEPS["points"]),
        (IMAGES, ENOUGH_STEPS["images"]),
        (LABELLED, ENOUGH_WITH_LABELS),
    ],
)
def test_runs_that_are_too_short_are_told(config, enough):
    assert too_short(enough, config) is None
    warning = too_short(enough - 1, config)
    assert f"only {enough - 1:,} steps;" in warning
    assert f"{enough:,}" in warning
    assert ("labels" in warning) == bool(config["label_counts"])
    assert "--subset" not in warning
    assert "larger --subset" in too_short(enough - 1, {**config, "subset": 100})
    assert too_short(1, {**config, "objective": "consistency"}) is None


@pytest.mark.parametrize(
    ("config", "folder", "wanted"),
    [
        (POINTS, "outputs", ["--show_intermediate", ""]),
        (LABELLED, "outputs", ["--show_intermediate --guidance 2", ""]),
        (
            {**LABELLED, "objective": "consistency"},
            "outputs/consistency",
            ["--checkpoint outputs/consistency/model_final.pt"] * 2,
        ),
        (
            {**IMAGES, "class_names": [], "data_dir": "my data"},
            "runs/a b",
            [
                "--checkpoint 'runs/a b/model_final.pt' --show_intermediate",
                "--checkpoint 'runs/a b/model_final.pt' --data_dir 'my data' --features inception"
                "   # first: pip install torch-fidelity",
            ],
        ),
    ],
)
def test_commands_that_come_next(config, folder, wanted, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    model = shlex.quote(f"{folder}/model_final.pt")
    sample, page, measure = next_commands(config, Path(folder)).splitlines()
    assert sample == f"  python sample.py {wanted[0]}".rstrip()
    where = "" if config["data_dir"] == "data" else " --data_dir 'my data'"
    assert page == f"  python visualize_diffusion.py --checkpoint {model} --html{where}"
    assert measure == f"  python evaluate.py {wanted[1]}".rstrip()
    parse = {
        "sample.py": cli.sample_options.parse_arguments,
        "visualize_diffusion.py": visualize_diffusion.parse_arguments,
        "evaluate.py": evaluate.parse_arguments,
    }
    for line in (sample, page, measure):
        _, script, *options = shlex.split(line, comments=True)
        if script != "visualize_diffusion.py":  # which looks for the checkpoint
            parse[script](options)


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("train.py", "python visualize_diffusion.py"),
        ("../tiny/train.py", "python ../tiny/visualize_diffusion.py"),
        ("/usr/bin/tiny-diffusion-train", "tiny-diffusion-visualize"),
        ("/my tools/train.py", "python '/my tools/visualize_diffusion.py'"),
    ],
)
def test_commands_start_scripts_as_this_one_was_started(program, wanted, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    assert next_commands(POINTS, Path("outputs")).splitlines()[1].startswith(f"  {wanted} --check")


def test_pictures_of_which_none_was_held_out_cannot_be_evaluated():
    own = {**LABELLED, "holdout": 0.0}
    assert "evaluate" not in next_commands(own, Path("outputs"))
    assert "evaluate" in next_commands({**own, "holdout": 0.1}, Path("outputs"))


def test_a_short_run_is_warned_before_it_starts_and_its_next_command_works(tmp_path):
    options = "--dataset line --num_points 100 --epochs 1 --output_dir here"
    lines = succeed("train.py", *options.split(), cwd=tmp_path).splitlines()
    (warning,) = (k for k, line in enumerate(lines) if "note: this run has only" in line)
    (first,) = (k for k, line in enumerate(lines) if line.startswith("epoch 1"))
    assert warning < first
    sample = shlex.split(lines[-3])
    succeed("sample.py", *sample[2:], cwd=tmp_path)
    assert (tmp_path / "outputs" / "intermediate" / "process.png").exists()
