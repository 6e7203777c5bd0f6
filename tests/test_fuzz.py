"""Damaged and hostile files are refused well, whatever they are; see `fuzzing`.

`python tests/fuzz.py` prints how many were tried, and how each kind ended.
"""

import random
import signal

import pytest
import torch
from fuzzing.base import make_base
from fuzzing.core import Case, plans
from fuzzing.kinds import KINDS
from fuzzing.runner import (
    MARKER,
    Ending,
    Result,
    judge,
    run_cases,
    run_limited,
    table,
)
from scripts import FORKS

SEED = 0
FEW = 8  # cases of each kind
MANY = 150  # random files of each kind, beside all others
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


# ------------------------------------------------------------------------------ the judge itself


def judged(folder, code, expected="either", command=(), **ending):
    return judge(Case(command, {}), expected, folder, Ending(code, **ending))[0]


@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        ("accepted", {"code": 0}),
        ("accepted", {"code": 0, "changed": ("outputs",)}),
        ("misbehaved", {"code": 0, "expected": "refused"}),
        ("refused well", {"code": 2, "said": "error: no\n"}),
        ("refused well", {"code": 1, "said": "a\nb\nc\n"}),
        ("misbehaved", {"code": 2, "said": "error: no\n", "expected": "accepted"}),
        ("misbehaved", {"code": 2}),
        ("misbehaved", {"code": 2, "said": "a\nb\nc\nd\n"}),
        ("misbehaved", {"code": 2, "said": "x" * 20_000}),
        ("misbehaved", {"code": 2, "said": "error: no\n", "changed": ("outputs/config.json",)}),
        ("misbehaved", {"code": 1, "said": "Traceback\n"}),
        ("misbehaved", {"code": 3, "said": "error: no\n"}),
        ("misbehaved", {"code": -11}),
        ("misbehaved", {"code": 2, "said": "error: no\n", "exceeded": "too long"}),
        ("misbehaved", {"code": 1, "said": "out of memory\n", "command": ("--resume",)}),
    ],
)
def test_how_a_case_is_judged(verdict, ended, tmp_path):
    assert judged(tmp_path, **ended) == verdict


def test_code_that_ran_is_seen(tmp_path):
    (tmp_path / MARKER).mkdir()
    assert judged(tmp_path, 0) == "misbehaved"


def test_what_a_script_takes_and_changes_is_measured(tmp_path):
    place, texts = tmp_path / "place", tmp_path / "texts"
    place.mkdir()
    texts.mkdir()
    script = tmp_path / "script.py"
    (place / "there").write_text("before")
    script.write_text("open('there', 'w').write('after'); open('new', 'w'); raise SystemExit('no')")
    assert run_limited((str(script),), place, texts) == Ending(1, "no\n", "", ("new", "there"))
    script.write_text("import time; held = b'x' * 1_500_000_000; time.sleep(60)")
    ending = run_limited((str(script),), place, texts)
    assert ending.code == -signal.SIGKILL
    assert "memory" in ending.exceeded


def test_an_accepted_file_with_a_flipped_bit_is_silent_corruption(tmp_path):
    whole, damaged = tmp_path / "whole.pt", tmp_path / "damaged.pt"
    for path, value in ((whole, 1.0), (damaged, 1.5)):
        torch.save({"weight": torch.tensor([value])}, path)
    case = Case((), {}, "damaged.pt", whole)
    assert judge(case, "either", tmp_path, Ending(0))[0] == "silent corruption"
    damaged.write_bytes(whole.read_bytes() + b"more")
    assert judge(case, "either", tmp_path, Ending(0))[0] == "accepted"
