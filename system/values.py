"""Kinds of values for options, both on the command line and in files.

One declaration defines both. `parse` converts typed text to a value, or says what is wrong with it;
`fits` tells whether something read from a file is such a value, and `text` describes such a value.

Imports nothing heavy, so that `--help` and usage errors appear at once.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError, BooleanOptionalAction
from pathlib import Path
from typing import Any


class Kind:
    """The kind of an option's value.

    Attributes:
        text: a description of such a value.
        metavar: the placeholder for the value in `--help`.
    """

    text = ""
    metavar: str | None = None

    def fits(self, value: Any) -> bool:
        """Whether something read from a file is such a value."""
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        """The value of typed text.

        Raises:
            ArgumentTypeError: the text is not such a value; the message says why.
        """
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """The keywords for argparse's `add_argument`."""
        return {"type": self.parse}


# ------------------------------------------------------------------------- on the line, in a file


class Whole(Kind):
    """An integer of at least `low`, and at most `high` if there is one."""

    metavar = "N"

    def __init__(self, low: int, high: int | None = None) -> None:
        self.low, self.high = low, high
        limits = f"of at least {low}" if high is None else f"from {low:g} to {high:g}"
        self.text = f"a whole number {limits}"

    def fits(self, value: Any) -> bool:
        return type(value) is int and self.holds(value)

    def parse(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"expected a whole number, not {text!r}") from None
        if not self.holds(value):
            limits = f"at least {self.low}" if self.high is None else f"{self.low} to {self.high}"
            raise ArgumentTypeError(f"must be {limits}, not {value}")
        return value

    def holds(self, value: int) -> bool:
        """Whether an integer is within the limits."""
        return self.low <= value and (self.high is None or value <= self.high)


class Real(Kind):
    """A finite number in (low, high], or in [low, high] with `low_included`."""

    def __init__(self, low: float, high: float, low_included: bool = False) -> None:
        self.low, self.high, self.low_included = low, high, low_included
        self.text = f"a number {'from' if low_included else 'above'} {low:g} to {high:g}"

    def fits(self, value: Any) -> bool:
        return type(value) in (int, float) and self.holds(value)

    def parse(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ArgumentTypeError(f"expected a number, not {text!r}") from None
        if not self.holds(value):
            lower = f"at least {self.low:g}" if self.low_included else f"above {self.low:g}"
            upper = "" if math.isinf(self.high) else f" and at most {self.high:g}"
            raise ArgumentTypeError(f"must be {lower}{upper}, not {text}")
        return value

    def holds(self, value: float) -> bool:
        """Whether a number is finite and within the limits."""
        above = value >= self.low if self.low_included else value > self.low
        return above and value <= self.high and value != math.inf


class OneOf(Kind):
    """One of several names; the message about an unknown name suggests a similar one.

    Args:
        what: the things that the names denote.
        besides: the end of the list of known names in that message.
    """

    metavar = "NAME"

    def __init__(self, what: str, names: tuple[str, ...], besides: str = "") -> None:
        self.what, self.names, self.besides = what, names, besides
        self.text = f"one of {', '.join(names)}"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names

    def parse(self, text: str) -> str:
        name = text.lower().replace("-", "_")
        if name in self.names:
            return name
        import difflib  # here, since it is rarely needed

        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        known = ", ".join(self.names) + self.besides
        raise ArgumentTypeError(f"unknown {self.what} {text!r}; known: {known}.{hint}")


class ListOf(Kind):
    """Several values of one kind, separated by commas."""

    metavar = "N,N,..."

    def __init__(self, kind: Kind, longest: int, shortest: int = 1) -> None:
        self.kind, self.longest, self.shortest = kind, longest, shortest
        self.text = f"a list of {shortest} to {longest} values, each {kind.text}"

    def fits(self, value: Any) -> bool:
        right = isinstance(value, list) and self.shortest <= len(value) <= self.longest
        return right and all(map(self.kind.fits, value))

    def parse(self, text: str) -> list[Any]:
        parts = text.split(",")
        if len(parts) > self.longest:
            raise ArgumentTypeError(f"at most {self.longest} values, not {len(parts)}")
        return [self.kind.parse(part) for part in parts]


class Text(Kind):
    """A line of text, of at most `longest` characters if that is given."""

    def __init__(self, longest: int | None = None) -> None:
        self.longest = longest
        self.text = "a text" if longest is None else f"a line of up to {longest} characters"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        return self.longest is None or (len(value) <= self.longest and value.isprintable())

    def parse(self, text: str) -> str:
        return text


class Colour(Kind):
    """A colour, by name or as #rrggbb."""

    text = "a colour"
    metavar = "COLOUR"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and self.holds(value)

    def parse(self, text: str) -> str:
        if not self.holds(text):
            raise ArgumentTypeError(f"expected a colour such as black or #ffd700, not {text!r}")
        return text

    def holds(self, text: str) -> bool:
        """Whether Pillow knows the colour."""
        from PIL import ImageColor  # here, since it is rarely needed

        try:
            channels = ImageColor.getrgb(text)
        except ValueError:
            return False
        return len(channels) == 3 and max(channels) <= 255  # no transparency


class Flag(Kind):
    """True if the option is given; it takes no value."""

    text = "true or false"

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)

    def arguments(self) -> dict[str, Any]:
        return {"action": "store_true"}


class Maybe(Kind):
    """In a file: a value of some kind, or null."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.text = kind, kind.text

    def fits(self, value: Any) -> bool:
        return value is None or self.kind.fits(value)


# ------------------------------------------------------------------------------- on the line alone


class Choice(Kind):
    """One of a few words, which `--help` lists in place of a placeholder."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def arguments(self) -> dict[str, Any]:
        return {"choices": self.words}


class Pair(Kind):
    """Two values of one kind, typed one after the other."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def arguments(self) -> dict[str, Any]:
        return {"type": self.kind.parse, "nargs": 2}


class Switch(Kind):
    """True for `--name`, false for `--no-name`."""

    def arguments(self) -> dict[str, Any]:
        return {"action": BooleanOptionalAction}


class File(Kind):
    """The path of a file or a folder."""

    metavar = "FILE"

    def parse(self, text: str) -> Path:
        return Path(text)


class Labels(Kind):
    """Class labels or class names, such as `3`, `0-3,7` or `cat,dog`. A name with a comma is put in
    double quotes. Their meaning depends on the model, so they are checked later."""

    metavar = "LABELS"

    def parse(self, text: str) -> list[str]:
        import csv  # here, since it is rarely needed

        try:
            parts = [part.strip() for part in next(csv.reader([text], skipinitialspace=True))]
        except (csv.Error, StopIteration):
            parts = []
        if not all(parts) or not parts:
            raise ArgumentTypeError(f"expected labels such as 3, 0,1,7, 0-9 or names, not {text!r}")
        return parts


MOST_CLASSES = 10_000
LONGEST_NAME = 255  # characters, of a class
POSITIVE = Whole(1)
NOT_NEGATIVE = Real(0, math.inf, low_included=True)
ANY_SEED = Whole(0, 2**63 - 1)
