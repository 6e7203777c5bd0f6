"""The parser of all command lines.

Imports nothing heavy, so that `--help` and wrong usage answer at once.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from system.errors import one_line
from system.options import Option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


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

    def add_options(self, options: Iterable[Option], title: str = "") -> None:
        """Add options, in --help under a title of their own if there is one."""
        group = self.add_argument_group(title) if title else self
        for option in options:
            names = [f"--{name}" for name in (option.name, *option.aliases)]
            details = option.kind.arguments()
            if option.dest:
                details["dest"] = option.dest
            if metavar := option.metavar or option.kind.metavar:
                details["metavar"] = metavar
            if option.bare is not None:
                details |= {"nargs": "?", "const": option.bare}
            if option.late or option.default is not None:
                details["default"] = None if option.late else option.default
            group.add_argument(*names, help=option.full_help, **details)

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


def settings(cls: type[T], args: argparse.Namespace, **others: Any) -> T:
    """A frozen dataclass filled in with `others`, and with the parsed arguments of the names of the
    rest of its fields."""
    from dataclasses import fields  # which takes a while to import

    rest = {field.name for field in fields(cls)} - others.keys()
    return cls(**{name: getattr(args, name) for name in rest}, **others)
