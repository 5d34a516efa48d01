"""What holds of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from outlive.cli.app import app

# Their output is in a form of its own already, or they have none.
WITHOUT_JSON = {
    "logs": "lines of logs",
    "psql": "psql itself",
    "supervise": "runs until it is told to stop",
    "render patroni": "YAML",
    "render archiver": "JSON, or a systemd unit",
    "policy example": "YAML",
    "state export": "lines of JSON",
    "state audit heads": "JSON",
}
EXAMPLES = re.compile(r"\n  Examples?:\n((?:    .+\n)+)")


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The words of each command below a group, and the command."""
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield words, command


EVERY = dict(commands(typer.main.get_command(app)))


def help_of(words: str) -> str:
    """What `--help` prints, on a terminal that is wide enough for it."""
    context = typer.Context(EVERY[words], info_name=f"outlive {words}", terminal_width=200)
    return str(EVERY[words].get_help(context))


@pytest.mark.parametrize("words", EVERY)
def test_its_help_has_examples_of_itself(words: str) -> None:
    """The help says what it does and shows examples, each of which is the command with options that it has."""
    text = help_of(words)
    examples = EXAMPLES.search(text)
    assert examples is not None
    begun = [line.strip() for line in examples[1].splitlines()]
    assert all(line.startswith(f"outlive {words}") for line in begun)
    # What stands behind a double dash or a pipe is for another program.
    named = {option for line in begun for option in re.findall(r" (--[a-z][a-z-]*)", re.split(r" -- | \| ", line)[0])}
    assert named <= {option for each in EVERY[words].params for option in each.opts + each.secondary_opts}


@pytest.mark.parametrize("words", EVERY)
def test_each_parameter_is_explained(words: str) -> None:
    """No argument or option stands without a word of what it does."""
    assert [each.name for each in EVERY[words].params if not each.help] == []


@pytest.mark.parametrize("words", EVERY)
def test_it_speaks_to_programs(words: str) -> None:
    """It has `--json`, unless its output has a form of its own."""
    assert ("--json" in help_of(words)) != (words in WITHOUT_JSON)


def test_the_shell_completes_commands() -> None:
    """What was begun is completed, by the command itself."""
    asked = {"_OUTLIVE_COMPLETE": "complete_bash", "COMP_WORDS": "outlive backup ver", "COMP_CWORD": "2"}
    done = CliRunner().invoke(app, [], env=asked, prog_name="outlive")
    assert done.stdout.split() == ["verify"]


def test_a_slip_of_the_pen_is_met_with_what_was_meant() -> None:
    """A command that there isn't is answered with the one that is nearest."""
    done = CliRunner().invoke(app, ["backup", "crate"], prog_name="outlive")
    assert done.exit_code == 2
    assert "Did you mean 'create'" in done.stderr
