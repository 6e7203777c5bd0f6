"""Tables of points: .csv, .tsv and .txt."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from fuzzing.base import TINY, Base
from fuzzing.core import DAMAGE, Case, Recipe

COMMANDS = (
    *[("train.py", "--dataset", "{}", *TINY)] * 9,
    ("visualize_diffusion.py", "--dataset", "{}", "--no-gif", "--num_points", "50"),
)


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    file = "points" + rng.choice([".csv", ".csv", ".tsv", ".txt"])
    command = COMMANDS[0] if expected == "accepted" else rng.choice(COMMANDS)
    command = tuple(part.replace("{}", file) for part in command)
    return Case(command, {file: recipe(base, rng)})


NUMBERS = [(x, 7 * x % 11 + x / 10) for x in range(20)]


def rows(delimiter: str = ",", header: str = "", end: str = "\n", form: str = "{:.3f}") -> str:
    lines = [delimiter.join(form.format(x) for x in pair) for pair in NUMBERS]
    return end.join([header] * bool(header) + lines) + end


def text(content: str, encoding: str = "utf-8") -> Recipe:
    return lambda base, rng: content.encode(encoding)


WHOLE = {
    "comma": rows(header="x,y"),
    "tab": rows("\t"),
    "semicolon": rows("; ", "label;y;x".replace("label;", "")),
    "spaces": rows("   "),
    "crlf": rows(end="\r\n", header="x,y"),
    "quoted": rows(header='"x","y"', form='"{:.3f}"'),
}
RIGHT: dict[str, Recipe] = {
    **{f"whole-{name}": text(content) for name, content in WHOLE.items()},
    "bom": text(rows(header="x,y"), "utf-8-sig"),
    "crlf-and-lf": text(rows(end="\r\n") + rows()),
    "blank-lines": text("\n\n" + rows(end="\n\n")),
    "quoted-comma-in-a-name": text('"a, b",x,y\n' + "".join(f"k,{x},{y}\n" for x, y in NUMBERS)),
}
ENDLESS_QUOTE = '"x,y\n1,2\n3,4\n5,7\n8,1\n'
WRONG: dict[str, Recipe] = {
    "empty": text(""),
    "blank": text("\n \n\t\n"),
    "bom-only": text("", "utf-8-sig"),
    "header-only": text("x,y\n"),
    "header-and-names": text("x,y\na,b\n"),
    "two-points": text("1,2\n3,4\n"),
    "one-point-often": text("1,2\n" * 100),
    "one-column": text("\n".join(map(str, range(30)))),
    "first-line-unterminated-quote": text('"1,2\n3,4\n5,7\n8,1\n9,2\n'),
    "first-line-unterminated-quote-of-names": text(ENDLESS_QUOTE),
    "second-line-unterminated-quote": text('1,2\n"3,4\n5,7\n8,1\n9,2\n'),
    "quote-over-lines": text('1,"2\n3",4\n5,7\n8,1\n'),
    "nul": text("1,2\n3,\0 4\n5,7\n8,1\n"),
    "nul-in-the-header": text("x\0,y\n3,4\n5,7\n8,1\n"),
    "latin-1": text("höhe,y\n1,2\n3,4\n5,7\n", "latin-1"),
    "utf-16": text(rows(), "utf-16"),
    "utf-32": text(rows(), "utf-32"),
    "long-line": text("1," + "2" * 20_000 + "\n" + rows()),
    "endless-line": text("1,2" * 7_000_000),
    "many-digits": text("1," + "2" * 9_000 + "\n" + rows()),
    "infinity": text(rows() + "inf,1\n"),
    "nan": text(rows() + "1,nan\n"),
    "too-large-for-a-float": text(rows() + "1e999,1\n"),
    "1e308": text(rows() + "1e308,-1e308\n"),
    "1e300-everywhere": text(rows(form="{:.3f}e300")),
    "1e-320-everywhere": text(rows(form="{:.3f}e-320")),
    "1e-300-everywhere": text(rows(form="{:.3f}e-300")),
    "close-together": text("".join(f"{1 + k * 1e-12!r},{1 - k * 1e-12!r}\n" for k in range(20))),
    "missing-value": text(rows() + "1,\n"),
    "missing-column": text(rows() + "1\n"),
    "word": text(rows() + "one,2\n"),
    "hexadecimal": text(rows() + "0x10,2\n"),
    "other-delimiter-later": text(rows() + "1;2\n"),
    "decimal-commas": text(rows(";").replace(".", ",")),
    "html": text("<html><body><table>\n<tr><td>1</td><td>2</td></tr>\n</table></html>\n"),
    "folder": lambda base, rng: Path.mkdir,
}
EITHER: dict[str, Recipe] = {
    "last-line-unterminated-quote": text('1,2\n5,7\n8,1\n9,2\n3,"4'),
    "underscores-in-numbers": text(rows() + "1_000,2\n"),
    "other-digits": text(rows() + "١,٢\n"),
    "1e-40-everywhere": text(rows(form="{:.3f}e-40")),
    "1e15": text(rows() + "1e15,1\n"),
    "tiny-among-others": text(rows() + "1e-320,1e-320\n"),
    "many-columns": text("\n".join(",".join(["1", "2"] * 2000) for _ in range(9)) + "\n1,3\n5,8\n"),
    "many-lines": text(rows() * 20_000),
    "old-mac-ends": text(rows(end="\r")),
    "line-separators": text(rows(end="\u2028")),
    "form-feeds": text(rows(end="\f\n")),
    "surrogates": lambda base, rng: rows().encode() + b"\xed\xa0\x80,1\n",
    "comments": text("# made by hand\n" + rows()),
    "directional-marks": text("\u202ex,y\n" + rows()),
    "only-quotes": text('""""""\n' * 9),
    "zero-width-names": text("\u200b,\u200b\n" + rows()),
}

TOKENS = (
    *('"', "'", ",", ";", "\t", "\n", "\r", "\0", "\ufeff", "nan", "inf", "-", "e", "1e308"),
    *("1e-320", "x", "\u2028", "\x85", "\x1c", "1_0", "0x1", " ", "--", "١", "\U0001f600"),
)


def insert(content: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        content = content[:at] + rng.choice(TOKENS) + content[at:]
    return content


def edit_lines(content: str, rng: random.Random) -> str:
    """Lines dropped, doubled, emptied, joined or written with another delimiter."""
    lines = content.splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        other = lines[at].replace(",", rng.choice(";\t |"))
        new = [[], [lines[at]] * 2, [""], [other], [lines[at] + lines[0]], [lines[at][:-3]]]
        lines[at : at + 1] = rng.choice(new)
        lines = lines or [""]
    return rng.choice(["\n", "\r\n", "\r"]).join(lines)


def extreme_numbers(content: str, rng: random.Random) -> str:
    """Every number times a power of ten that may be far too large or too small."""
    power = rng.choice([-323, -310, -160, -45, -38, -20, 14, 16, 20, 38, 150, 305])
    return "\n".join(f"{x}e{power},{y:.3f}e{power}" for x, y in NUMBERS[1:])


def edited(edit: Callable[[str, random.Random], str]) -> Recipe:
    def make(base: Base, rng: random.Random) -> bytes:
        encoding = rng.choice(["utf-8"] * 8 + ["utf-8-sig", "utf-16"])
        return edit(rng.choice(list(WHOLE.values())), rng).encode(encoding)

    return make


def damaged(damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(rng.choice(list(WHOLE.values())).encode(), rng)


VARIED: dict[str, Recipe] = {
    **{f.__name__.replace("_", "-"): edited(f) for f in (insert, edit_lines, extreme_numbers)},
    **{name: damaged(damage) for name, damage in DAMAGE.items()},
}
