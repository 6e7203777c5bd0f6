"""The documents: each command in them is one that its script accepts, and each option exists."""

import argparse
import json
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from scripts import REPOSITORY

# A value that stands for others, as in `--seed N`, or is not in the repository.
PLACEHOLDER = re.compile(r"[A-Z_]+|toy|.*\.\.\.")
FOLDERS = ("photos", "emoji")  # of the reader's pictures
FOREIGN = {"--upgrade", "--force-reinstall"}  # of pip
parse = argparse.ArgumentParser.parse_args


def text_of(path: Path) -> str:
    """A document; of a notebook, the text between its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


PATTERNS = ("*.md", "docs/*.md", "examples/*.md", "pretrained/*.md", "examples/*.ipynb")
TEXTS = {
    path.relative_to(REPOSITORY).as_posix(): text_of(path)
    for pattern in PATTERNS
    for path in sorted(REPOSITORY.glob(pattern))
}


def commands_of(text: str) -> list[str]:
    """The commands of a text, in its code blocks and within sentences, without comments."""
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^ {4,}(?:python3?|torchrun .*?) ([a-z_/]+\.py.*)$", text, re.MULTILINE)
    spans = re.findall(r"`python ([a-z_/]+\.py[^`]*)`", text)
    return [" ".join(re.sub(r"\s#\s.*", "", one).split()) for one in lines + spans]


COMMANDS = sorted({(name, one) for name, text in TEXTS.items() for one in commands_of(text)})
SCRIPTS = sorted(
    script
    for script in {command.split()[0] for _, command in COMMANDS}
    if re.search("parse_(known_)?arg", (REPOSITORY / script).read_text(encoding="utf-8"))
)


class Reached(BaseException):  # scripts report other exceptions
    """A script has begun to parse its command line; the argument is its parser."""


@cache
def parser_of(script: str) -> argparse.ArgumentParser:
    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise Reached(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        patch.setattr(sys, "argv", [script])
        patch.syspath_prepend((REPOSITORY / script).parent)
        with pytest.raises(Reached) as reached, torch.enable_grad():  # a script may turn it off
            runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    return reached.value.args[0]


def test_commands_are_found_without_comments_and_in_one_piece():
    text = "Try `python sample.py\n--gif`:\n\n    python train.py --a 1 \\\n      --b   # slow\n"
    assert commands_of(text) == ["train.py --a 1 --b", "sample.py --gif"]
    assert len(COMMANDS) > 90
    assert set(SCRIPTS) > {"train.py", "sample.py", "evaluate.py", "visualize_diffusion.py"}


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_a_script_accepts_what_a_document_tells_readers_to_type(
    document, command, tmp_path, monkeypatch
):
    script, *words = shlex.split(command)
    if script not in SCRIPTS:  # it has no parser
        assert not any(word.startswith("--") for word in words)
        return
    parser = parser_of(script)
    unknown = {word for word in words if word.startswith("--")} - {*parser._option_string_actions}
    assert not unknown
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    if not any(PLACEHOLDER.fullmatch(word) for word in words):
        parse(parser, words)


@pytest.mark.parametrize("document", sorted({*TEXTS} - {"CHANGELOG.md"}))
def test_every_option_that_a_document_names_exists(document):
    known = {name for script in SCRIPTS for name in parser_of(script)._option_string_actions}
    named = {name for span in re.findall(r"`([^`]+)`", TEXTS[document])
             for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}  # fmt: skip
    assert named <= known | FOREIGN
