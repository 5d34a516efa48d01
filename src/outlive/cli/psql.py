"""`outlive psql`: an interactive way in."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from outlive.cli.terminal import Dir, call_or_exit, chosen_directory
from outlive.cluster.directory import ClusterDirectory
from outlive.errors import ConfigurationError


def psql(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to psql, after --.")] = None,
    directory: Dir = None,
    node: Annotated[str | None, typer.Option(help="This node, instead of the primary.")] = None,
    superuser: Annotated[bool, typer.Option("--superuser", help="As postgres, instead of the application.")] = False,
) -> None:
    """Open psql on the primary.

    \b
    Examples:
      outlive psql
      outlive psql -- -c "select count(*) from outlive.turns"
      outlive psql --node n2 --superuser
    """
    command, environment = call_or_exit(
        lambda: _psql_command(ClusterDirectory(chosen_directory(directory)), node, superuser)
    )
    os.execve(command[0], [*command, *(arguments or [])], environment)  # noqa: S606 - psql takes this process over


def _psql_command(directory: ClusterDirectory, name: str | None, superuser: bool) -> tuple[list[str], dict[str, str]]:
    from outlive.cluster.plan.patroni_config import SUPERUSER

    spec, _ = directory.load()
    if name is not None and name not in {node.name for node in spec.data_nodes}:
        raise ConfigurationError(f"the cluster has no data node {name!r}")
    nodes = [node for node in spec.data_nodes if name in (None, node.name)]
    environment = os.environ | {
        "PGPASSFILE": str(directory.pgpass),
        "PGHOST": ",".join(node.host for node in nodes),
        "PGPORT": ",".join(str(node.ports.postgres) for node in nodes),
        "PGUSER": SUPERUSER if superuser else spec.app_user,
        "PGDATABASE": spec.database,
        "PGTARGETSESSIONATTRS": "any" if name else "primary",
        "PGCONNECT_TIMEOUT": "2",
    }
    return [f"{spec.postgres_bin}/psql"], environment
