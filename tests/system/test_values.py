"""values.py: what can be typed, the messages about other text, and the values allowed in files."""

import math
from argparse import ArgumentTypeError

import pytest

from system.options import ByData, Option
from system.values import (
    NOT_NEGATIVE,
    POSITIVE,
    Flag,
    Labels,
    ListOf,
    Maybe,
    OneOf,
    Real,
    Text,
    Whole,
)

NAMES = OneOf("sampler", ("ddpm", "ddim", "log_linear"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Whole(1, 5), "5", 5),
        (POSITIVE, " 7 ", 7),
        (Real(0, 1), "1e-3", 0.001),
        (Real(0, 1, low_included=True), "0", 0.0),
        (NOT_NEGATIVE, "1e300", 1e300),
        (NAMES, "DDIM", "ddim"),
        (NAMES, "log-linear", "log_linear"),
        (ListOf(Whole(1, 5), longest=2), "3,4", [3, 4]),
        (Text(), "any thing", "any thing"),
        (Labels(), '0-2, 7,"salt, pepper"', ["0-2", "7", "salt, pepper"]),
    ],
)
def test_what_is_typed_becomes_a_value(kind, text, value):
    found = kind.parse(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Whole(1, 5), "6", "must be 1 to 5, not 6"),
        (Whole(1), "0", "must be at least 1, not 0"),
        (Whole(1), "1.5", "expected a whole number, not '1.5'"),
        (Whole(1), "9" * 5000, "expected a whole number, not"),
        (Real(0, 1), "0", "must be above 0 and at most 1, not 0"),
        (Real(0, 1, low_included=True), "-1", "must be at least 0 and at most 1, not -1"),
        (NOT_NEGATIVE, "inf", "must be at least 0, not inf"),
        (NOT_NEGATIVE, "nan", "must be at least 0, not nan"),
        (NOT_NEGATIVE, "x", "expected a number, not 'x'"),
        (NAMES, "dimm", "unknown sampler 'dimm'; known: ddpm, ddim, log_linear. Did you mean"),
        (NAMES, "?", "unknown sampler '?'; known: ddpm, ddim, log_linear."),
        (ListOf(Whole(1, 5), longest=2), "1,2,3", "at most 2 values, not 3"),
        (ListOf(Whole(1, 5), longest=2), "1,9", "must be 1 to 5, not 9"),
        (Labels(), "", "expected labels such as 3, 0,1,7, 0-9 or names, not ''"),
        (Labels(), "cat,,dog", "expected labels such as 3, 0,1,7, 0-9 or names, not 'cat,,dog'"),
    ],
)
def test_the_rest_is_refused_with_the_reason(kind, text, said):
    with pytest.raises(ArgumentTypeError) as error:
        kind.parse(text)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "text"),
    [
        (Whole(1, 5), [1, 5], [0, 6, 1.0, True, "1", None], "a whole number from 1 to 5"),
        (Real(0, 1), [1, 1e-9, 1.0], [0, 0.0, 2, True, math.nan, "1"], "a number above 0 to 1"),
        (Real(0, 1, low_included=True), [0, 0.0], [-1e-9, math.inf], "a number from 0 to 1"),
        (NOT_NEGATIVE, [0, 1e308], [math.inf, math.nan, -1], "a number from 0 to inf"),
        (OneOf("x", ("a", "b")), ["a"], ["A", "c", ["a"], 1], "one of a, b"),
        (Flag(), [True, False], [1, 0, None], "true or false"),
        (Text(3), ["", "abc"], ["abcd", 1, "a\nb"], "a line of up to 3 characters"),
        (Maybe(Whole(1, 5)), [None, 1], [0, ""], "a whole number from 1 to 5"),
        (
            ListOf(Whole(1, 5), longest=2),
            [[1], [1, 2]],
            [[], [1, 2, 3], (1, 2), [9], ["1"]],
            "a list of 1 to 2 values, each a whole number from 1 to 5",
        ),
    ],
)
def test_what_a_file_says_has_the_type_and_the_limits(kind, right, wrong, text):
    assert all(map(kind.fits, right))
    assert not any(map(kind.fits, wrong))
    assert kind.text == text


def test_defaults_are_said_in_words():
    def said(**more):
        return Option("lr", Real(0, 1), "rate", **more).full_help

    assert said() == said(default=0.5) == "rate"  # argparse adds what it fills in itself
    assert said(default=ByData(2e-3, 5e-3)) == "rate (default: 0.002 for images, 0.005 for points)"
    assert said(default=ByData(1.0, 1.0)) == "rate (default: 1)"
    assert said(default=0.5, needs="is for x only") == "rate (default: 0.5)"
    assert said(default_text="all") == "rate (default: all)"
