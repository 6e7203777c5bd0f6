"""cli.py must not import torch, so it repeats names of modules that do; here they are compared."""

import pytest

import cli.options
import diffusion
import samplers
import sampling.inpainting
from models import embeddings


def test_names_on_the_command_line_are_those_of_the_modules():
    assert set(cli.options.SCHEDULES) == set(diffusion.SCHEDULES)
    assert cli.options.PREDICTIONS == diffusion.PREDICTIONS
    assert cli.options.LOSS_WEIGHTINGS == diffusion.LOSS_WEIGHTINGS
    assert cli.options.TIMESTEP_SAMPLINGS == diffusion.TIMESTEP_SAMPLINGS
    assert set(cli.options.SAMPLERS) == set(samplers.SAMPLERS)
    assert tuple(sampling.inpainting.MASKS) == cli.options.MASKS
    assert cli.options.TIME_EMBEDDINGS == embeddings.TIME_EMBEDDINGS


def test_noise_levels_in_the_help_are_those_of_the_schedule():
    sigmas = diffusion.make_schedule("log_linear", 10).sigmas
    assert [sigmas[0].item(), sigmas[-1].item()] == pytest.approx(
        [cli.options.SIGMA_MIN, cli.options.SIGMA_MAX]
    )
