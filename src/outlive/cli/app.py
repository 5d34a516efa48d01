"""The tree of subcommands."""

from __future__ import annotations

import typer

from outlive.cli import (
    archiving,
    audit,
    backup,
    cluster,
    demo,
    events,
    migrate,
    pgbackrest,
    policy,
    proof,
    render,
    restore,
    retention,
    state,
    verify,
    wal,
)

app = typer.Typer(
    name="outlive",
    help="The PostgreSQL that an AI agent can't lose its state in.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    cluster.up,
    cluster.down,
    cluster.status,
    cluster.psql,
    cluster.logs,
    cluster.switchover,
    cluster.restart,
    cluster.supervise,
    migrate.migrate,
    demo.demo,
    restore.restore,
    proof.proof,
):
    app.command()(command)
backup.app.command()(archiving.enable)
backup.app.command()(archiving.disable)
backup.app.command()(retention.prune)
backup.app.command()(retention.check)
backup.app.command()(retention.keep)
app.add_typer(backup.app, name="backup")
backup.app.command()(verify.verify)
backup.app.command()(verify.point)
app.add_typer(wal.app, name="wal")
app.add_typer(pgbackrest.app, name="pgbackrest")
app.add_typer(render.app, name="render")
app.add_typer(policy.app, name="policy")
app.add_typer(state.app, name="state")
state.app.add_typer(audit.app, name="audit")
state.app.add_typer(events.app, name="events")
