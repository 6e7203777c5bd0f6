"""The table of evaluate.py, and its verdict."""

import math

import pytest

from evaluation import Figure
from evaluation.report import table, verdict

COPIES = "closer to a training image than its neighbour"


def test_the_table_has_a_line_for_each_figure():
    figures = {
        "FID": Figure(0.4812, 0.03, 0.0123),
        "bits per dimension of unseen images, at most": Figure(2.55, math.nan),
    }
    head, fid, bits = table(figures).splitlines()
    assert head.split() == ["samples", "±", "real", "data", "better"]
    assert fid.split() == ["FID", "0.4812", "0.012", "0.03", "lower"]
    assert bits.split()[-4:] == ["2.55", "-", "-", "lower"]
    assert len(head) <= 90
    assert len({len(line.rstrip().rsplit(maxsplit=1)[0]) for line in (fid, bits)}) == 1


@pytest.mark.parametrize(
    ("samples", "features", "says"),
    [
        (0.05, "classifier", "FID 0.05, as for real images"),
        (0.4, "classifier", "hard to tell from real images (FID 0.4; real images 0.03)"),
        (1.9, "classifier", "good, with visible flaws"),
        (9.0, "classifier", "rough"),
        (90.0, "classifier", "train for longer"),
        (9.0, "inception", "FID 9 (real images 0.03)"),
    ],
)
def test_the_verdict_of_images(samples, features, says):
    figures = {
        "FID": Figure(samples, 0.03, 0.01),
        "share of the class asked for": Figure(0.959, 0.996, 0.002),
        COPIES: Figure(0.02, 0.01, 0.01),
    }
    found = verdict(figures, features)
    assert says in found
    assert "95.9% of the class asked for; no sign of copies" in found
    assert "\n" not in found
    assert "as for real images" not in verdict(figures, features, fair=False)
    figures[COPIES] = Figure(0.2, 0.01, 0.01)
    assert "some may be copies" in verdict(figures, features)


@pytest.mark.parametrize(
    ("distance", "off", "says"),
    [
        (
            Figure(0.0005, 0.0004, 0.0001),
            Figure(0.01, 0.01, 0.001),
            "cannot be distinguished from fresh",
        ),
        (Figure(0.0005, 0.0004, 0.0001), Figure(0.1, 0.01, 0.001), "but 10.0% of the samples"),
        (Figure(0.0008, 0.0004, 0.0001), Figure(0.1, 0.01, 0.001), "2 times that of fresh data"),
    ],
)
def test_the_verdict_of_points(distance, off, says):
    figures = {"energy distance": distance, "share of samples off the data": off}
    assert says in verdict(figures, None)
