"""Building blocks of command lines: the parser, and types that say what was wrong.

Imports nothing heavy, so that `--help` and wrong usage answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn

from system.errors import one_line


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults, but not the `None` and `False` of options that are off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are two lines, not a page of usage.

    Args:
        document: a script's docstring: a line that says what it does, then examples. Python's
            option -OO leaves none.
    """

    def __init__(self, document: str | None) -> None:
        title, _, examples = (document or "").strip().partition("\n")
        super().__init__(
            usage="%(prog)s [options]",
            description=title,
            epilog="examples:\n" + textwrap.indent(examples.strip(), "  "),
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )

    def section(self, title: str) -> Callable[..., argparse.Action]:
        """What adds options under a title of their own in --help."""
        return self.add_argument_group(title).add_argument

    def given(self, argv: list[str]) -> set[str]:
        """The options that these arguments name, as attributes of the parsed arguments."""
        blank = argparse.Namespace(**{action.dest: None for action in self._actions})
        found = vars(self.parse_args(argv, blank))
        return {name for name, value in found.items() if value is not None}

    def knows(self, option: str) -> bool:
        return option in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        message = one_line(message)
        self.exit(2, f"{self.prog}: error: {message}\n'{self.prog} --help' lists the options.\n")


# ------------------------------------------------------------------------------- argument types


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argument type: an integer of at least `minimum` (and at most `maximum`)."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, not {text!r}") from None
        if value < minimum or (maximum is not None and value > maximum):
            limits = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"must be {limits}, not {value}")
        return value

    return parse


def number(low: float, high: float, low_included: bool = False) -> Callable[[str], float]:
    """An argument type: a finite number in (low, high], or in [low, high]."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, not {text!r}") from None
        above = value >= low if low_included else value > low
        if not (math.isfinite(value) and above and value <= high):
            lower = f"at least {low:g}" if low_included else f"above {low:g}"
            upper = "" if math.isinf(high) else f" and at most {high:g}"
            raise argparse.ArgumentTypeError(f"must be {lower}{upper}, not {text}")
        return value

    return parse


def one_of(kind: str, names: Sequence[str]) -> Callable[[str], str]:
    """An argument type: one of `names`; an unknown one is answered with the nearest."""

    def parse(text: str) -> str:
        name = text.lower().replace("-", "_")
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        known = ", ".join(names)
        raise argparse.ArgumentTypeError(f"unknown {kind} {text!r}; known: {known}.{hint}")

    return parse


def label_list(text: str) -> list[int]:
    """An argument type: class labels, such as `3`, `0,1,7`, `0-9` or `0-3,7`."""
    labels: list[int] = []
    for part in text.split(","):
        first, dash, last = (end.strip() for end in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise argparse.ArgumentTypeError(f"expected labels such as 3, 0,1,7 or 0-9: {text!r}")
        low, high = int(first), int(last or first)
        if not low <= high < 10_000:
            raise argparse.ArgumentTypeError(f"no labels: {part!r}")
        labels += range(low, high + 1)
    return labels


def list_of(item: Callable[[str], int], longest: int) -> Callable[[str], list[int]]:
    """An argument type: up to `longest` values of type `item` with commas between them."""

    def parse(text: str) -> list[int]:
        parts = text.split(",")
        if len(parts) > longest:
            raise argparse.ArgumentTypeError(f"at most {longest} values, not {len(parts)}")
        return [item(part) for part in parts]

    return parse


positive_int = whole_number(1)
seed_number = whole_number(0, 2**63 - 1)
not_negative = number(0, math.inf, low_included=True)
