"""The classes that typed labels, ranges and names mean."""

import unicodedata

import pytest

from sampling.labels import choose_labels
from system.errors import InputError
from system.values import Labels

NAMES = ("salt, pepper", "été", "x-ray", "7", "Cat", "cat", "Two Words", "0-2")
KNOWN = list(range(len(NAMES)))


def chosen(text, known=KNOWN, names=NAMES):
    return choose_labels(Labels().parse(text), known, names)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("0", [0]),
        ("1-3,0", [1, 2, 3, 0]),
        ("3,3", [3, 3]),
        (" 2 , 4 ", [2, 4]),
        ("1 - 2", [1, 2]),
        ('"salt, pepper",été', [0, 1]),
        ("ÉTÉ", [1]),
        (unicodedata.normalize("NFD", "été"), [1]),
        ("x-ray", [2]),
        ("7", [3]),  # the class of that name, not the one of that number
        ("Cat,cat", [4, 5]),  # each by its own name
        ("CAT", [5]),
        ("two words", [6]),
        ("0-2", [7]),
        ("0-1", [0, 1]),
    ],
)
def test_names_go_before_numbers(text, labels):
    assert list(chosen(text)) == labels


def test_none_are_all():
    assert choose_labels(None, [0, 2], NAMES) == [0, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dgo", r"no class 'dgo'; known: 0 \(salt, pepper\), 1 \(été\)"),
        ("two wrods", "no class 'two wrods'; did you mean 'Two Words'"),
        ("8", "no class 8; the model knows 0-7"),
        ("2-1", "no class '2-1'"),
        ("1-", "no class '1-'"),
        ("-1", "no class '-1'"),
        ("1.5", "no class '1.5'"),
        ("9" * 5000, "no class '999"),
        ("0-99999", "no class '0-99999'"),
        ("caf\udce9", "no class 'caf"),
    ],
)
def test_what_the_model_does_not_know_is_refused(text, says):
    with pytest.raises(InputError, match=rf"^--labels: {says}"):
        chosen(text)


def test_without_names_there_are_numbers_only():
    assert list(chosen("0-1", [0, 1], ())) == [0, 1]
    with pytest.raises(InputError, match="no class 'cat'; known: numbers only"):
        chosen("cat", [0, 1], ())


def test_a_class_without_examples_is_not_known():
    with pytest.raises(InputError, match="no class 1; the model knows 0-3, but saw no examples of"):
        chosen("été", [0, 2, 3])


def test_a_model_without_classes_has_none():
    with pytest.raises(InputError, match="trained without --class_conditional"):
        chosen("0", [])
    assert choose_labels(None, []) == []
