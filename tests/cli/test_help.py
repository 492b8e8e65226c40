"""Help, and commands that are imported when they run."""

import shlex
import sys

import pytest
import typer
from command_line import all_commands, leaf_commands, run
from typer.testing import CliRunner

from vggfcn.cli import main
from vggfcn.cli.help import EXAMPLES, Commands, LazyCommand, command_from, epilog


def shown(*arguments):
    return CliRunner().invoke(main.app, [*arguments, "--help"]).output


def test_commands_stand_under_their_headings_with_whole_summaries():
    text = " ".join(shown().split())
    places = [text.index(f"{heading}:") for heading in (main.IMAGES, main.NETWORKS, main.MACHINE)]
    assert places == sorted(places)
    for name, command in main.COMMANDS.items():
        assert text.index(f"{command.heading}:") < text.index(f" {name} {command.summary}")


def test_options_stand_under_their_headings():
    text = shown("heatmap")
    headings = ["Arguments:", "Network and classes:", "Evaluation:", "Output:"]
    assert [line for line in text.splitlines() if line in headings] == headings
    assert text.index("Output:") < text.index("--opacity")


def test_every_command_has_up_to_four_examples():
    assert set(EXAMPLES) == set(all_commands())
    assert all(1 <= len(lines) <= 4 for lines in EXAMPLES.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_the_end_of_help(name):
    end = ["  Examples:", *(f"    {line}" for line in EXAMPLES[name])]
    assert shown(*name.split()).rstrip().splitlines()[-len(end) :] == end


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_examples_can_be_typed(name, line):
    program, *words = shlex.split(line)
    assert program == "vggfcn"
    path = []
    while words and " ".join([*path, words[0]]) in all_commands():
        path.append(words.pop(0))
    assert " ".join(path).startswith(name)
    # Raises for options and values that do not exist, and for arguments that are missing or too many.
    leaf_commands()[" ".join(path)].make_context(line, words)


def test_a_command_without_examples_ends_with_its_options():
    assert epilog("no such command") == ""


def test_a_command_is_imported_when_it_is_looked_up(monkeypatch):
    monkeypatch.delitem(sys.modules, "vggfcn.cli.commands.app", raising=False)
    commands = Commands(app=LazyCommand("app:app", "Images", "Serve."))
    assert "app" in commands
    assert commands.get("gone", "nothing") == "nothing"
    assert "vggfcn.cli.commands.app" not in sys.modules
    command = commands.get("app")
    assert "vggfcn.cli.commands.app" in sys.modules
    assert command is commands["app"]
    assert {"weights", "host", "port"} <= {option.name for option in command.params}


def test_a_group_keeps_its_commands():
    group = LazyCommand("weights:app", "Weights", "List.").load("weights")
    assert group.name == "weights"
    assert set(group.commands) == {"list", "fetch", "inspect", "convert"}


def test_a_function_becomes_a_command():
    def greet(name: str, loud: bool = False) -> None:
        """Greet somebody."""
        typer.echo(f"hello {name}{'!' if loud else ''}")

    assert run(program=lambda: command_from(greet, "greet")(["Ann", "--loud"])) == (0, "hello Ann!\n", "")
