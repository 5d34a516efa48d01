"""`outlive migrate`: the tables that the stores need."""

from __future__ import annotations

from typing import Annotated

import typer

from outlive.cli.terminal import Json, await_or_exit, put, put_json


def migrate(
    dsn: Annotated[
        str | None, typer.Option(help="The database.", show_default="$OUTLIVE_DSN, else the local cluster that is up")
    ] = None,
    roles: Annotated[
        bool, typer.Option("--roles", help="Make the roles of least privilege, too, and give them their rights.")
    ] = False,
    tenants: Annotated[
        bool, typer.Option("--tenants", help="Keep tenants apart from now on, by row-level security. No way back.")
    ] = False,
    existing_tenant: Annotated[
        str | None, typer.Option(help="With --tenants: whose the rows are that are kept already.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring the schema `outlive` to what this release needs.

    All missing migrations are applied, or none. Doing it again changes nothing. Where this role may not make others,
    --roles prints the SQL that an administrator has to run.

    \b
    Examples:
      outlive migrate
      outlive migrate --roles
      outlive migrate --tenants --existing-tenant acme
      outlive migrate --dsn postgresql://app@h1,h2,h3/agents
    """
    from outlive import stores
    from outlive.stores import roles as group_roles
    from outlive.stores import tenants as separate
    from outlive.stores.plan.roles import ROLES

    report = await_or_exit(stores.migrate(dsn))
    made = await_or_exit(group_roles.ensure(dsn)) if roles else ()
    separated = await_or_exit(separate.enable(dsn, existing=existing_tenant)) if tenants else 0
    if json:
        put_json({"version": report.version, "applied": report.applied, "roles": made, "separated": separated})
        return
    applied = f"applied {', '.join(report.applied)}" if report.applied else "nothing to do"
    put(f"The schema outlive is at version {report.version}: {applied}.")
    if roles:
        put(f"Its roles have their rights: {', '.join(ROLES)}.")
    if tenants:
        put(f"Tenants are kept apart in {separated} tables.")
