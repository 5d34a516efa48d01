"""`outlive migrate`: the tables that the stores need."""

from __future__ import annotations

from typing import Annotated

import typer

from outlive.cli.terminal import Json, await_or_exit, put, put_json


def migrate(
    dsn: Annotated[
        str | None, typer.Option(help="The database.", show_default="$OUTLIVE_DSN, else the local cluster that is up")
    ] = None,
    json: Json = False,
) -> None:
    """Bring the schema `outlive` to what this release needs.

    All missing migrations are applied, or none. Doing it again changes nothing.

    \b
    Examples:
      outlive migrate
      outlive migrate --dsn postgresql://app@h1,h2,h3/agents
    """
    from outlive import stores

    report = await_or_exit(stores.migrate(dsn))
    if json:
        put_json({"version": report.version, "applied": report.applied})
        return
    applied = f"applied {', '.join(report.applied)}" if report.applied else "nothing to do"
    put(f"The schema outlive is at version {report.version}: {applied}.")
