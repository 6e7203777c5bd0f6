"""Damaged and hostile files are refused well, whatever they are; see `fuzzing`.

`python tests/fuzz.py` prints how many were tried, and how each kind ended.
"""

import random

import pytest
from fuzzing.base import make_base
from fuzzing.core import plans
from fuzzing.kinds import KINDS
from fuzzing.runner import Result, run_cases, table
from scripts import FORKS

SEED = 0
FEW = 8  # cases of each kind
MANY = 100  # random files of each kind, beside all others
JOBS = 2

pytestmark = [
    pytest.mark.skipif(not FORKS, reason="needs a system that can fork"),
    pytest.mark.filterwarnings("ignore"),  # of PyTorch, about the oddest of its tensors
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


def assert_fine(results: list[Result]) -> None:
    wrong = [str(result) for result in results if not result.fine]
    assert not wrong, "\n".join([table(results), *wrong])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.rpartition(".")[2])
def test_a_few_files_of_each_kind_are_refused_well_or_work(kind, base):
    """A seeded sample of all that the slow test tries."""
    chosen = random.Random(SEED).sample(plans(kind, MANY), FEW)
    assert_fine(list(run_cases(chosen, base, SEED, JOBS)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.rpartition(".")[2])
def test_files_of_each_kind_are_refused_well_or_work(kind, base):
    assert_fine(list(run_cases(plans(kind, MANY), base, SEED, JOBS)))
