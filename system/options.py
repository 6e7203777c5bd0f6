"""What an option of a script is: all that there is to say about it, in one place.

The parser, the checks and what a checkpoint may say are made from it. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from system.values import Kind, Maybe


class ByData(NamedTuple):
    """A default that depends on what the data are."""

    images: Any
    points: Any

    def of(self, kind: str) -> Any:
        """That of `images` or of `points`."""
        return getattr(self, kind)


class Option(NamedTuple):
    """One option of a script, all that there is to say about it.

    Attributes:
        metavar: what stands for its value in `--help`, where that is not what its kind has.
        default: what holds where it is not given; a `ByData` is filled in once the data are known.
        needs: why it is refused, where something else must hold for it to be of use. Its default
            is filled in only where that holds.
        default_text: the default in words, where another part of the program computes it.
        bare: the value of the option where it is given without one.
        changeable: whether it may be different when a run is resumed.
        optional: whether a run, and so a checkpoint, may have no value for it.
        stored: what a checkpoint may say, where earlier releases took more than can be typed now.
        points_only: whether it is of no use to images.
        short_for: the option that it is another way to give; nothing fills it in or stores it.
        dest: its name in the parsed arguments, where that is another.
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
        """Whether its default is filled in only after the command line is read."""
        return bool(self.needs) or isinstance(self.default, ByData)

    @property
    def rule(self) -> Kind:
        """What a checkpoint may say about it."""
        kind = self.stored or self.kind
        return Maybe(kind) if self.optional else kind

    @property
    def full_help(self) -> str:
        """The help with the default; argparse adds those that it fills in itself."""
        shown = self.late and self.default is not None and self.default is not False
        default = self.default_text or (in_words(self.default) if shown else "")
        return f"{self.help} (default: {default})" if default else self.help

    def default_for(self, data: str) -> Any:
        """The default for `images` or `points`."""
        return self.default.of(data) if isinstance(self.default, ByData) else self.default


def in_words(default: Any) -> str:
    """A default for a line of help."""
    if not isinstance(default, ByData):
        return f"{default:g}" if isinstance(default, float) else str(default)
    images, points = in_words(default.images), in_words(default.points)
    return images if images == points else f"{images} for images, {points} for points"
