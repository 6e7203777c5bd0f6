"""The parser of all command lines.

Imports nothing heavy, so that `--help` and usage errors appear at once.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from system.errors import one_line
from system.options import Option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def version() -> str:
    """The version of this release, from pyproject.toml."""
    import tomllib  # imported here, since it takes a while

    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if not project.exists():  # an installed copy
        from importlib.metadata import version as installed

        return installed("tiny-diffusion")
    return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults, except the `None` and `False` of options that are off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class ShowVersion(argparse.Action):
    """Print the version, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"Tiny Diffusion {version()}")
        parser.exit()


class ShowAll(argparse.Action):
    """Print the help for all options, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        assert isinstance(parser, Parser)
        parser.common = ()
        parser.print_help()
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in two lines, not in a page of usage.

    Args:
        document: a script's docstring: a line that says what the script does, then examples. With
            Python's option -OO there is none.
        common: the options that `--help` shows; `--help_all` shows the rest. If empty, `--help`
            shows all.
    """

    def __init__(self, document: str | None, common: Collection[str] = ()) -> None:
        title, _, examples = (document or "").strip().partition("\n")
        super().__init__(
            usage="%(prog)s [options]",
            description=title,
            epilog="examples:\n" + textwrap.indent(examples.strip(), "  "),
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        self.common = common
        ends: dict[str, Any] = {"nargs": 0, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        if common:
            self.add_argument("--help_all", action=ShowAll, help="show all options", **ends)
        self.add_argument("--version", action=ShowVersion, help="print the version", **ends)

    def format_help(self) -> str:
        """The help for all options by section or, if there are common options, for these alone."""
        if not self.common:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        formatter.start_section("common options")
        shown = [action for action in self._actions if action.dest in self.common]
        formatter.add_arguments(shown)
        formatter.end_section()
        rest = len(self._actions) - len(shown)
        formatter.add_text(f"'{self.prog} --help_all' also shows the other {rest} options.")
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def add_options(self, options: Iterable[Option], title: str = "") -> None:
        """Add options, which --help lists under `title` if there is one."""
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
        """The names of the options in these arguments, as attributes of the parsed arguments."""
        blank = argparse.Namespace(**{action.dest: None for action in self._actions})
        found = vars(self.parse_args(argv, blank))
        return {name for name, value in found.items() if value is not None}

    def knows(self, option: str) -> bool:
        return option in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        message, option = one_line(message), "--help_all" if self.common else "--help"
        self.exit(2, f"{self.prog}: error: {message}\n'{self.prog} {option}' lists the options.\n")


def settings(cls: type[T], args: argparse.Namespace, **others: Any) -> T:
    """A frozen dataclass with the fields in `others`; its other fields are the parsed arguments of
    the same names."""
    from dataclasses import fields  # imported here, since it takes a while

    rest = {field.name for field in fields(cls)} - others.keys()
    return cls(**{name: getattr(args, name) for name in rest}, **others)
