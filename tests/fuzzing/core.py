"""What a case of the fuzz suite is, and damage that any bytes can suffer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from fuzzing.base import Base

# A file's content, or what makes it at a path (a link, say).
Content = bytes | Callable[[Path], object]
Recipe = Callable[[Base, random.Random], Content]


@dataclass(frozen=True)
class Case:
    """One file, and the script that reads it.

    Attributes:
        command: the script and its arguments.
        files: what is put into the folder in which the script runs.
        damaged: the name of a file that is, but for damage, what it was in `whole`: to accept it
            with another content is silent corruption.
        whole: that file before.
    """

    command: tuple[str, ...]
    files: dict[str, Content]
    damaged: str | None = None
    whole: Path | None = None


@dataclass(frozen=True)
class Plan:
    """How to make a case.

    Attributes:
        name: kind/recipe or kind/recipe/number; together with the seed it says all of the case.
        expected: `accepted`, `refused` or, where both are fine, `either`.
    """

    kind: ModuleType
    name: str
    recipe: Recipe
    expected: str

    def make(self, base: Base, seed: int) -> Case:
        # Random by its own name, so that a case is the same however many others there are.
        chance = random.Random(f"{seed} {self.name}")
        return self.kind.case(base, self.name, self.recipe, chance, self.expected)


def plans(kind: ModuleType, varied: int) -> list[Plan]:
    """All cases of a kind that are not random, and `varied` that are."""
    family = kind.__name__.rpartition(".")[2]
    expectations = {"accepted": kind.RIGHT, "refused": kind.WRONG, "either": kind.EITHER}
    planned = [
        Plan(kind, f"{family}/{name}", recipe, expected)
        for expected, recipes in expectations.items()
        for name, recipe in recipes.items()
    ]
    for k in range(varied):
        turn, which = divmod(k, len(kind.VARIED))
        name, recipe = list(kind.VARIED.items())[which]
        planned.append(Plan(kind, f"{family}/{name}/{turn}", recipe, "either"))
    return planned


# ------------------------------------------------------------------------------------- damage


def flip(content: bytes, rng: random.Random, low: int = 0, high: int | None = None) -> bytes:
    """One flipped bit, between the bytes `low` and `high`."""
    changed = bytearray(content)
    changed[rng.randrange(low, high or len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    """One to four bytes, or words, replaced by extreme ones."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        word = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\x7f\xff\xff\xff"])
        at = rng.randrange(len(changed))
        changed[at : at + len(word)] = word
    return bytes(changed)


def cut_out(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:start] + content[end:]


def repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:end] + content[start:]


def append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randint(1, 100))


DAMAGE = {f.__name__: f for f in (flip, truncate, overwrite, cut_out, repeat, append)}
