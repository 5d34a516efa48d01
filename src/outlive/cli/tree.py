"""The tree of subcommands, of which only what a command line names is brought in: each module costs its start time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer

from outlive.cli.terminal import put

COMMANDS = {
    "up": "cluster",
    "down": "cluster",
    "status": "cluster",
    "psql": "psql",
    "logs": "logs",
    "switchover": "cluster",
    "restart": "cluster",
    "supervise": "cluster",
    "migrate": "migrate",
    "demo": "demo",
    "restore": "restore",
    "proof": "proof",
}
"""The commands without a noun, in the order of the help, and the module of each."""


def tree(first: str | None = None) -> typer.Typer:
    """The command. Where `first` is one of its subcommands, that one alone is in it."""
    top = typer.Typer(
        name="outlive",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    top.callback()(_root)
    for name in _wanted(first, COMMANDS):
        top.command()(getattr(_module(COMMANDS[name]), name))
    for name in _wanted(first, NOUNS):
        top.add_typer(NOUNS[name](), name=name)
    return top


def _wanted(first: str | None, names: dict[str, Any]) -> list[str]:
    return [name for name in names if first in (name, None) or first not in {*COMMANDS, *NOUNS}]


def _version(wanted: bool) -> None:
    if wanted:
        put(version("outlive"))
        raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The PostgreSQL that an AI agent can't lose its state in."""


def _module(name: str) -> Any:
    return import_module(f"outlive.cli.{name}")


def _noun(name: str) -> Callable[[], typer.Typer]:
    def found() -> typer.Typer:
        noun: typer.Typer = _module(name).app
        return noun

    return found


@cache
def _backup() -> typer.Typer:
    from outlive.cli import archiving, backup, retention, verify

    for command in (
        archiving.enable,
        archiving.disable,
        retention.prune,
        retention.check,
        retention.keep,
        verify.verify,
        verify.point,
    ):
        backup.app.command()(command)
    return backup.app


@cache
def _state() -> typer.Typer:
    from outlive.cli import audit, events, maintain, state, state_life, tasks

    state.app.command()(state_life.erase)
    state.app.command()(state_life.retention)
    state.app.command()(maintain.maintain)
    state.app.add_typer(audit.app, name="audit")
    state.app.add_typer(events.app, name="events")
    state.app.add_typer(tasks.app, name="tasks")
    return state.app


NOUNS: dict[str, Callable[[], typer.Typer]] = {
    "backup": _backup,
    **{name: _noun(name) for name in ("wal", "pgbackrest", "render", "policy")},
    "state": _state,
}
"""The nouns, in the order of the help, and how the commands of each are brought in."""
