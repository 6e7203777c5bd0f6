"""Options derived from the tables of names.py: the names that take each option, and its help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from names import names_of
from system.options import Option


class Entry(Protocol):
    """An entry of a table in names.py."""

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that it takes."""


def takers(table: Mapping[str, Entry], option: str) -> list[str]:
    """The names in a table that take an option."""
    return [name for name, entry in table.items() if option in names_of(entry.options)]


def options_of(
    table: Mapping[str, Entry], choice: str, verb: str = "applies to"
) -> tuple[Option, ...]:
    """The options of all entries of a table, each once, with the names of the entries that take it.

    If the default depends on the entry, the help lists all defaults.

    Args:
        choice: the option that chooses an entry.
        verb: for the message if the chosen entry does not take an option.
    """
    found = {option.name: option for entry in table.values() for option in entry.options}
    marked = []
    for name, option in found.items():
        taken_by = takers(table, name)
        where = ", ".join(taken_by) + (" on points" if option.points_only else "")
        needs = f"{verb} --{choice} {in_a_row(taken_by, 'and')} only"
        option = option._replace(help=f"{where}: {option.help}", needs=needs)
        defaults = {entry: default_in(table[entry], name) for entry in taken_by}
        if len(set(defaults.values())) > 1:
            text = ", ".join(f"{default} for {entry}" for entry, default in defaults.items())
            option = option._replace(default=None, default_text=text)
        marked.append(option)
    return tuple(marked)


def default_in(entry: Entry, name: str) -> Any:
    """The default of an option in an entry."""
    return next(option.default for option in entry.options if option.name == name)


def in_a_row(words: Sequence[str], last: str) -> str:
    """Words joined as in a sentence: `a, b and c`."""
    *before, end = words
    return f"{', '.join(before)} {last} {end}" if before else end
