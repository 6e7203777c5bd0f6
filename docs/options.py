"""Write docs/OPTIONS.md, a page of all options of all scripts, from their parsers.

python docs/options.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import cli.sample_options
import cli.train_options
import evaluate
import sample
import train
import visualize_diffusion
from cli.parser import Parser

ENDS = ("help", argparse.SUPPRESS)  # options, such as --version, that end a script at once
TARGET = DOCS / "OPTIONS.md"
INTRODUCTION = """# All options

The text of `python SCRIPT --help_all` as tables, written by `python docs/options.py`. Some defaults
depend on whether the data are images or points.
"""


def parsers() -> dict[str, Parser]:
    """The parser of each script."""
    return {
        "train.py": cli.train_options.make_parser(train.__doc__ or ""),
        "sample.py": cli.sample_options.make_parser(sample.__doc__),
        "evaluate.py": evaluate.make_parser(),
        "visualize_diffusion.py": visualize_diffusion.make_parser(),
    }


def document() -> str:
    """The text of the page."""
    sections = [INTRODUCTION]
    for script, parser in parsers().items():
        sections.append(f"## `{script}`\n\n{parser.description}\n")
        for group in parser._action_groups:
            actions = [one for one in group._group_actions if one.dest not in ENDS]
            if actions:
                title = "model" if group.title == "options" else str(group.title)
                rows = "\n".join(row(parser, action) for action in actions)
                sections.append(
                    f"**{title.capitalize()}**\n\n| option | what it does |\n|---|---|\n{rows}\n"
                )
    return "\n".join(sections)


def row(parser: Parser, action: argparse.Action) -> str:
    """A table row for an option: its names, its values and its help."""
    formatter = parser._get_formatter()
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    taken = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    value = f" `{taken}`" if action.nargs != 0 else ""
    words = formatter._expand_help(action)
    return f"| {names}{value} | {words.replace('|', chr(92) + '|').replace('*', chr(92) + '*')} |"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
