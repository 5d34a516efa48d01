"""The tree of subcommands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from outlive.cli import (
    archiving,
    audit,
    backup,
    cluster,
    demo,
    events,
    logs,
    maintain,
    migrate,
    pgbackrest,
    policy,
    proof,
    psql,
    render,
    restore,
    retention,
    state,
    state_life,
    tasks,
    verify,
    wal,
)
from outlive.cli.terminal import put

app = typer.Typer(
    name="outlive",
    help="The PostgreSQL that an AI agent can't lose its state in.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        put(version("outlive"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The PostgreSQL that an AI agent can't lose its state in."""


for command in (
    cluster.up,
    cluster.down,
    cluster.status,
    psql.psql,
    logs.logs,
    cluster.switchover,
    cluster.restart,
    cluster.supervise,
    migrate.migrate,
    demo.demo,
    restore.restore,
    proof.proof,
):
    app.command()(command)
for of_backup in (
    archiving.enable,
    archiving.disable,
    retention.prune,
    retention.check,
    retention.keep,
    verify.verify,
    verify.point,
):
    backup.app.command()(of_backup)
app.add_typer(backup.app, name="backup")
app.add_typer(wal.app, name="wal")
app.add_typer(pgbackrest.app, name="pgbackrest")
app.add_typer(render.app, name="render")
app.add_typer(policy.app, name="policy")
app.add_typer(state.app, name="state")
state.app.command()(state_life.erase)
state.app.command()(state_life.retention)
state.app.command()(maintain.maintain)
state.app.add_typer(audit.app, name="audit")
state.app.add_typer(events.app, name="events")
state.app.add_typer(tasks.app, name="tasks")
