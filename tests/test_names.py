"""names.py: what is in its tables exists, can be asked for, and is in docs/OPTIONS.md."""

import math
import re
import shutil
from argparse import ArgumentTypeError
from contextlib import suppress

import numpy as np
import pytest
import torch
from scripts import REPOSITORY

import cli.options
import diffusion
import evaluate
import models
import sample
import samplers
import train
import training.objectives
from checkpoints.schema import check_config, rules_for
from cli.tables import takers
from cli.train_options import OPTIONS, make_parser, parse_arguments
from datasets import load_images, load_points
from datasets.shapes import SHAPES
from diffusion import make_schedule
from models import build_model
from names import (
    DATASETS,
    FIGURES,
    KINDS,
    MASKS,
    MODELS,
    OBJECTIVES,
    OF_EVERY_MODEL,
    PREVIEWS,
    PROCESSES,
    SAMPLERS,
    SCHEDULES,
    SIGMA_MAX,
    SIGMA_MIN,
    TIME_EMBEDDINGS,
    datasets_of,
    kind_of,
    names_of,
)
from samplers import exact_denoiser, trailing_timesteps
from sampling import inpainting
from system.errors import InputError
from system.values import Flag

OPTIONS_PAGE = (REPOSITORY / "docs" / "OPTIONS.md").read_text(encoding="utf-8")
SOME = {"images": "digits", "points": "dino"}  # of each kind a data set
# What the data add to a configuration.
OF_ALL = {"label_counts": [], "class_names": []}
FACTS = {
    "images": {"shape": [1, 28, 28], "value_range": [-1.0, 1.0]},
    "points": {"shape": [2], "value_range": None, "mean": [0.0, 0.0], "scale": 1.0},
}


TYPED = [
    *"0 1 2 3 7 8192 8193 100000 0.5 0.99 1.0 1e-12 0.9999 1e-5 1e6 1000 -1 nan inf 8,16".split(),
    *(*SCHEDULES, *MODELS, *TIME_EMBEDDINGS, "eps", "x0", "v", "uniform", "min_snr", "raw"),
    *("auto", "gold", *OBJECTIVES),
]


def taken_by(option):
    """Those of many texts that can be typed for an option, with their values; {} of a flag."""
    found = {}
    for text in TYPED if not isinstance(option.kind, Flag) else ():
        with suppress(ArgumentTypeError):
            found[text] = option.kind.parse(text)
    return found


# ------------------------------------------------------------------------------- the data sets


@pytest.mark.parametrize("name", datasets_of("images"))
def test_every_data_set_of_images_loads(name, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, header in (("images-idx3", [0x803, 4, 28, 28]), ("labels-idx1", [0x801, 4])):
        body = bytes(4 * 28 * 28 if len(header) == 4 else 4)
        file = raw / f"train-{part}-ubyte"
        file.write_bytes(np.array(header, dtype=">i4").tobytes() + body)
    shutil.copytree(tmp_path / "MNIST", tmp_path / "FashionMNIST")
    (tmp_path / "cifar-10-batches-bin").mkdir()
    for k in range(1, 6):
        (tmp_path / "cifar-10-batches-bin" / f"data_batch_{k}.bin").write_bytes(bytes(3073))
    data = load_images(name, tmp_path, subset=3)
    assert (data.name, len(data), len(data.labels)) == (name, 3, 3)


@pytest.mark.parametrize("name", datasets_of("points"))
def test_every_set_of_points_loads(name):
    data = load_points(name, 50, 0.0, 0)
    assert (data.name, data.examples.shape, data.labels.shape) == (name, (50, 2), (50,))


def test_there_are_no_other_sets_of_points():
    assert tuple(SHAPES) == datasets_of("points")
    assert [kind_of(name) for name in DATASETS] == [data.kind for data in DATASETS.values()]


# --------------------------------------------------------------- the schedules and the samplers


def test_every_schedule_has_its_function():
    assert tuple(diffusion.SCHEDULES) == tuple(SCHEDULES)


@pytest.mark.parametrize(("name", "entry"), SCHEDULES.items())
def test_every_schedule_builds_and_ends_as_its_entry_says(name, entry):
    schedule = make_schedule(name, 50, **dict.fromkeys(names_of(entry.options)))
    assert len(schedule) == 50
    assert (schedule.at(49)[0] == 0) == entry.ends_in_pure_noise


def test_noise_levels_in_the_help_are_those_of_the_schedule():
    sigmas = make_schedule("log_linear", 10).sigmas
    assert [sigmas[0].item(), sigmas[-1].item()] == pytest.approx([SIGMA_MIN, SIGMA_MAX])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_takes_its_own_options_and_no_others(name):
    for option in {o.name: o for entry in SCHEDULES.values() for o in entry.options}.values():
        command = ["--schedule", name, "--prediction", "v", f"--{option.name}", "0.005"]
        if name in takers(SCHEDULES, option.name):
            assert getattr(parse_arguments(command), option.name) == 0.005
        else:
            with pytest.raises(InputError, match=f"--{option.name} (does not apply|applies) to"):
                parse_arguments(command)


@pytest.mark.parametrize(("name", "entry"), SAMPLERS.items())
def test_every_sampler_samples_and_takes_its_own_options_alone(name, entry):
    schedule, data = make_schedule("cosine", 20), torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    timesteps = trailing_timesteps(20, 5)
    exact = exact_denoiser(data, schedule)
    states = getattr(samplers, name)(
        lambda x, t, *_: exact(x, t), torch.randn(3, 2), schedule, timesteps
    )
    assert [bool(x.isfinite().all()) for x in states] == [True] * 5
    for option in ("eta", "momentum"):
        command = ["--sampler", name, f"--{option}", "0.5"]
        for script in (sample, evaluate):
            if option in names_of(entry.options):
                assert getattr(script.parse_arguments(command), option) == 0.5
            else:
                with pytest.raises(InputError, match=f"--{option} applies to --sampler ddim"):
                    script.parse_arguments(command)


@pytest.mark.parametrize("plans", [PREVIEWS, FIGURES, PROCESSES])
@pytest.mark.parametrize("kind", KINDS)
def test_every_plan_is_one_that_can_be_asked_for(plans, kind):
    plan = plans.of(kind)
    command = ["--sampler", plan.sampler, "--steps", str(plan.steps)]
    command += [word for name, value in plan.options.items() for word in (f"--{name}", str(value))]
    args = evaluate.parse_arguments(command)
    assert (args.sampler, args.timesteps, args.eta) == plan
    assert cli.options.made_by(args, plan.steps) == f"{plan}, seed 0"
    assert plan.within(1000) == plan
    assert plan.within(7).steps == 7


def test_every_mask_has_its_place():
    assert tuple(inpainting.MASKS) == MASKS


def test_every_network_and_objective_that_can_be_named_is_there_and_no_other():
    assert tuple(models.MODELS) == tuple(MODELS)
    assert tuple(training.objectives.OBJECTIVES) == OBJECTIVES


# ------------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "network"), MODELS.items())
def test_every_network_builds_for_its_data_and_is_refused_for_others(name, network, kind):
    command = ["--dataset", SOME[kind], "--model", name]
    if kind not in network.kinds:
        with pytest.raises(InputError, match=f"--model {name} is for {network.kinds[0]}"):
            parse_arguments(command)
        return
    chosen = train.make_config(parse_arguments(command))
    config = {**chosen, **FACTS[kind], **OF_ALL, "kind": kind}
    check_config(config)
    model = build_model(config, device="meta")
    assert sum(weight.numel() for weight in model.parameters()) > 1000


@pytest.mark.parametrize("name", MODELS)
def test_a_network_refuses_the_options_of_others(name):
    own = names_of(MODELS[name].options)
    for option in (one for network in MODELS.values() for one in network.options):
        if option.name in own:
            continue
        value = list(taken_by(option))[:1]
        command = ["--dataset", "digits", "--model", name, f"--{option.name}", *value]
        whose = " and ".join(takers(MODELS, option.name))
        with pytest.raises(InputError, match=f"--{option.name} is for --model {whose} only"):
            parse_arguments(command)


# -------------------------------------------------------------------------------- the options


def test_every_option_of_a_run_is_declared_and_declared_once():
    declared = names_of(OPTIONS)
    assert len(declared) == len(set(declared))
    parsed = set(vars(make_parser("").parse_args([])))
    assert parsed - set(declared) == {"consistency", "resume", "config", "quiet", "verbose"}
    described = [*OF_EVERY_MODEL, *(one for entry in MODELS.values() for one in entry.options)]
    assert set(names_of(described)) <= set(declared)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_may_say_all_that_can_be_typed_and_no_other_type(model, kind):
    rules = rules_for({"kind": kind, "model": model})
    options = [one for one in OPTIONS if one.name in rules and one.name not in ("model", "dataset")]
    assert len(options) > 12
    for option in options:
        rule = rules[option.name]
        found = taken_by(option)
        assert found or isinstance(option.kind, Flag)
        assert all(map(rule.fits, found.values())), option.name
        for wrong in (math.nan, math.inf, -1, 10**19, [0], {}, object(), b"eps"):
            assert not rule.fits(wrong), (option.name, wrong)


# ------------------------------------------------------------------------------- the options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("schedule", SCHEDULES),
        ("sampler", SAMPLERS),
        ("model", MODELS),
        ("dataset", datasets_of("images")),
        ("time_embedding", TIME_EMBEDDINGS),
        ("mask", MASKS),
        ("eta", takers(SAMPLERS, "eta")),
        ("momentum", takers(SAMPLERS, "momentum")),
        ("beta_start", takers(SCHEDULES, "beta_start")),
        ("sigma_min", takers(SCHEDULES, "sigma_min")),
    ],
)
def test_the_row_of_an_option_says_all_its_names(option, words):
    rows = re.findall(rf"^\| [^|]*`--{option}`.*$", OPTIONS_PAGE, re.MULTILINE)
    assert max(sum(word in re.findall(r"\w+", row) for word in words) for row in rows) == len(words)
