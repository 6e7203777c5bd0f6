"""The definition of a script's option, all in one place.

The parser, its checks and the checks of checkpoints are made from it. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from system.values import Kind, Maybe


class ByData(NamedTuple):
    """A default that depends on the kind of data."""

    images: Any
    points: Any

    def of(self, kind: str) -> Any:
        """That of `images` or of `points`."""
        return getattr(self, kind)


class Option(NamedTuple):
    """An option of a script.

    Attributes:
        metavar: the placeholder for its value in `--help`, if it is not that of its kind.
        default: the value if the option is not given; a `ByData` is resolved once the data are
            known.
        needs: the message when the option is given but the condition under which it applies does
            not hold. Its default is filled in only if the condition holds.
        default_text: the default in words, if another part of the program computes it.
        bare: the value if the option is given without one.
        changeable: whether it may change when a run is resumed.
        optional: whether a run, and so a checkpoint, may have no value for it.
        stored: the kind of value in a checkpoint, if earlier releases allowed more than now.
        points_only: whether it applies to points only.
        short_for: the option for which it is a shorthand; it has no default and is not stored.
        dest: its name in the parsed arguments, if that differs.
    """

    name: str
    kind: Kind
    help: str
    aliases: tuple[str, ...] = ()
    metavar: str | tuple[str, ...] | None = None
    default: Any = None
    needs: str = ""
    default_text: str = ""
    bare: Any = None
    changeable: bool = False
    optional: bool = False
    stored: Kind | None = None
    points_only: bool = False
    short_for: str = ""
    dest: str = ""

    @property
    def late(self) -> bool:
        """Whether its default is filled in only after the command line has been parsed."""
        return bool(self.needs) or isinstance(self.default, ByData)

    @property
    def rule(self) -> Kind:
        """The kind of value that a checkpoint may have for it."""
        kind = self.stored or self.kind
        return Maybe(kind) if self.optional else kind

    @property
    def full_help(self) -> str:
        """The help with the default, unless argparse fills it in and so adds it itself."""
        shown = self.late and self.default is not None and self.default is not False
        default = self.default_text or (in_words(self.default) if shown else "")
        return f"{self.help} (default: {default})" if default else self.help

    def default_for(self, data: str) -> Any:
        """The default for `images` or `points`."""
        return self.default.of(data) if isinstance(self.default, ByData) else self.default


def in_words(default: Any) -> str:
    """A default as text for `--help`."""
    if not isinstance(default, ByData):
        return f"{default:g}" if isinstance(default, float) else str(default)
    images, points = in_words(default.images), in_words(default.points)
    return images if images == points else f"{images} for images, {points} for points"
