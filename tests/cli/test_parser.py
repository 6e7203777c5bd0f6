"""parser.py: options become arguments, and arguments settings."""

import re
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.parser import Parser, settings
from system.options import ByData, Option
from system.values import Flag, OneOf, Pair, Whole

OPTIONS = (
    Option("size", Whole(1, 9), "how large", aliases=("s",), default=3),
    Option("speed", Whole(1, 9), "how fast", default=ByData(1, 2)),
    Option("where", OneOf("place", ("here", "there")), "where", bare="there"),
    Option("ends", Pair(Whole(0)), "both ends", metavar=("A", "B"), dest="limits"),
    Option("loud", Flag(), "whether to sing"),
    Option("slow", Flag(), "whether to wait", default=False, needs="needs --loud"),
)


def parse(*argv):
    parser = Parser("A test.")
    parser.add_options(OPTIONS, "some")
    return parser, vars(parser.parse_args(list(argv)))


def test_defaults_that_depend_on_something_are_left_open():
    wanted = {"size": 3, "speed": None, "where": None, "limits": None, "loud": False, "slow": None}
    assert parse()[1] == wanted


def test_options_take_their_values():
    line = "--s 4 --speed 5 --where --ends 1 2 --loud --slow"
    parser, found = parse(*line.split())
    wanted = {"size": 4, "speed": 5, "where": "there", "limits": [1, 2], "loud": True, "slow": True}
    assert found == wanted
    assert parser.given(line.split()) == set(wanted)
    assert parser.given([]) == set()


def test_the_help_shows_values_and_defaults():
    text = " ".join(parse()[0].format_help().split())
    assert "--size N, --s N how large (default: 3)" in text
    assert "--speed N how fast (default: 1 for images, 2 for points)" in text
    assert "--where [NAME]" in text
    assert "--ends A B both ends" in text


def test_errors_are_two_lines(capsys):
    with pytest.raises(SystemExit):
        parse("--where her")
    with pytest.raises(SystemExit):
        parse("--where", "her")
    last = capsys.readouterr().err.splitlines()[-2:]
    assert "unknown place 'her'; known: here, there. Did you mean 'here'?" in last[0]
    assert "lists the options" in last[1]


def test_settings_are_the_arguments_of_the_same_names():
    @dataclass(frozen=True)
    class Some:
        size: int
        loud: bool = False

    assert settings(Some, Namespace(size=4, loud=True, other=3)) == Some(4, True)


def parser_with_common_options():
    parser = Parser("A test.\n\npython test.py --size 3", common=("size", "limits"))
    parser.add_options(OPTIONS, "some")
    return parser


def test_help_shows_the_common_options_and_help_all_the_rest(capsys):
    parser = parser_with_common_options()
    text = parser.format_help()
    assert "common options:" in text
    assert set(re.findall(r"--\w+", text)) == {"--size", "--s", "--ends", "--help_all"}
    hidden = len(parser._actions) - 2
    assert f"--help_all' also shows the other {hidden} options" in text
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--help_all"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert parser._option_string_actions.keys() <= set(re.findall(r"-[-\w]+", shown))


@pytest.mark.parametrize("make", [parser_with_common_options, lambda: Parser("A test.")])
def test_the_version_is_that_of_the_project(make, capsys):
    with pytest.raises(SystemExit) as end:
        make().parse_args(["--version"])
    assert end.value.code == 0
    project = Path(__file__).parent.parent.parent / "pyproject.toml"
    number = re.search(r'^version = "(.*)"$', project.read_text(), re.MULTILINE)[1]
    assert capsys.readouterr().out == f"Tiny Diffusion {number}\n"
