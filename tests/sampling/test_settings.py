"""settings.py: the settings that a notebook can use, and those that are refused."""

import pytest

from diffusion import make_schedule
from sampling import SampleSettings
from system.errors import InputError

SCHEDULE = make_schedule("linear", 10)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sampler": "euler"}, "no sampler 'euler'"),
        ({"sampler": "heun", "eta": 0.5}, "eta does not apply to the sampler heun"),
        ({"sampler": "ddim", "eta": 1.0, "momentum": 0.5}, "momentum needs eta 0"),
        ({"count": 0}, "at least one sample"),
        ({"steps": 0}, "one step"),
    ],
)
def test_what_cannot_be_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        SampleSettings(**wrong)


def test_timesteps_are_a_number_or_a_falling_row():
    assert SampleSettings(steps=2).timesteps(SCHEDULE) == [9, 4]
    assert SampleSettings(steps=[7, 3]).timesteps(SCHEDULE) == [7, 3]
    for wrong in ([3, 7], [10, 3], [5, -1], [5, 5]):
        with pytest.raises(InputError, match="timesteps must decrease"):
            SampleSettings(steps=wrong).timesteps(SCHEDULE)
    with pytest.raises(InputError, match="11 denoising steps are not possible"):
        SampleSettings(steps=11).timesteps(SCHEDULE)
