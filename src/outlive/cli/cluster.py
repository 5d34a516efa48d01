"""The commands around a cluster on this machine.

Each imports what it needs when it runs: `outlive status` is asked often, and most of its half second is imports.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, chosen_directory, put, put_json, say
from outlive.cluster import limits
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.plan.health import ClusterFacts, Safe, critical_writes
from outlive.cluster.spec import Profile
from outlive.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

    from outlive.cluster.archiving import ArchiveWish

COMPONENTS = ("supervisor", "etcd", "patroni", "postgres", "journal")
WATCH_PERIOD_S = 1.0
FOLLOW_PERIOD_S = 0.3


def up(
    directory: Dir = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes that hold data.", show_default="3")] = None,
    witness: Annotated[int | None, typer.Option(help="Nodes with a vote and no data.", show_default="0")] = None,
    profile: Annotated[Profile | None, typer.Option(help="Timings and sizes.", show_default="fast")] = None,
    postgres_bin: Annotated[Path | None, typer.Option(help="Programs of an installed PostgreSQL, 15 to 18.")] = None,
    etcd_bin: Annotated[Path | None, typer.Option(help="Directory of an installed etcd.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="Archive WAL there from now on: s3://, gs://, az:// or file:///.")
    ] = None,
    storage_options: Annotated[
        Path | None, typer.Option(help="JSON: endpoint, region, credentials_file ...; copied into the cluster.")
    ] = None,
    backup_key: Annotated[
        Path | None, typer.Option(help="Key file that encrypts what is archived; copied into the cluster.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is whole.")] = limits.UP_S,
    json: Json = False,
) -> None:
    """Start the cluster, making it first if there is none, and wait until it is whole.

    Prints the DSN. Starting what runs already changes nothing.

    \b
    Examples:
      outlive up
      outlive up --nodes 2 --witness 1 --dir ./cluster
      outlive up --postgres-bin /usr/lib/postgresql/16/bin
      outlive up --storage s3://backups/prod --storage-options s3.json --backup-key backup.key
    """
    from outlive.cluster import lifecycle
    from outlive.cluster.making import Wish

    cluster = ClusterDirectory(chosen_directory(directory))
    wish = Wish(nodes=nodes, witnesses=witness, profile=profile, postgres_bin=postgres_bin, etcd_bin=etcd_bin)
    archive = call_or_exit(lambda: _archive_wish(storage, storage_options, backup_key))
    started = time.monotonic()
    dsn = await_or_exit(lifecycle.up(cluster, wish, say, archive=archive, timeout_s=timeout))
    seconds = time.monotonic() - started
    if json:
        put_json({"dsn": dsn, "directory": cluster.root, "seconds": round(seconds, 2)})
        return
    say(f"up after {seconds:.1f} s in {cluster.root}")
    put(dsn)


def _archive_wish(storage: str | None, options_file: Path | None, key_file: Path | None) -> ArchiveWish | None:
    if storage is None:
        if options_file or key_file:
            raise ConfigurationError("--storage-options and --backup-key say how to archive, and --storage not where")
        return None
    from outlive.cli.archiving import archive_wish

    return archive_wish(storage, options_file, key_file)


def down(
    directory: Dir = None,
    destroy: Annotated[bool, typer.Option("--destroy", help="Remove the data too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before removing.")] = False,
) -> None:
    """Stop the cluster; the data stays unless --destroy.

    \b
    Examples:
      outlive down
      outlive down --destroy --yes
    """
    from outlive.cluster import lifecycle

    cluster = ClusterDirectory(chosen_directory(directory))
    if not call_or_exit(cluster.exists):
        say(f"there is no cluster in {cluster.root}")
        return
    if destroy and not yes and not typer.confirm(f"Remove the cluster in {cluster.root} with all its data?", err=True):
        say("nothing was changed")
        raise typer.Exit(1)
    await_or_exit(lifecycle.down(cluster, say))
    if destroy:
        call_or_exit(lambda: lifecycle.destroy(cluster))
    say("removed" if destroy else "down")


def status(
    directory: Dir = None,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every second until Ctrl-C.")] = False,
) -> None:
    """Show every node, and whether critical writes are safe right now.

    Exits with 0 if they are, else with 3.

    \b
    Examples:
      outlive status
      outlive status --watch
      outlive status --json
    """
    from outlive.cli import status_view

    cluster = ClusterDirectory(chosen_directory(directory))
    if watch:
        call_or_exit(lambda: _watch(cluster))
        return
    facts = await_or_exit(_observe(cluster))
    if json:
        put_json(status_view.as_json(facts))
    else:
        _console().print(status_view.table(facts))
    if not isinstance(critical_writes(facts), Safe):
        raise typer.Exit(UnavailableError.exit_code)


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


def logs(
    node: Annotated[str | None, typer.Argument(help="One node; without it all.")] = None,
    directory: Dir = None,
    component: Annotated[list[str] | None, typer.Option(help=f"{', '.join(COMPONENTS)}; may be repeated.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="Lines of each file.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
) -> None:
    """Show the last lines of the nodes' logs, and of the journal of the supervisors' acts.

    \b
    Examples:
      outlive logs
      outlive logs n1 --component postgres -n 100
      outlive logs --component journal --follow
    """
    files = call_or_exit(lambda: _log_files(ClusterDirectory(chosen_directory(directory)), node, component))
    shown = {path: path.stat().st_size for _, path in files}
    for title, path in files:
        put(f"==> {title} <==")
        put("\n".join(_text(path, 0, shown[path]).splitlines()[-lines:]) + "\n")
    if follow:
        call_or_exit(lambda: _follow(files, shown))


def switchover(
    to: Annotated[
        str | None, typer.Option(help="The standby to become primary.", show_default="Patroni's choice")
    ] = None,
    directory: Dir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = limits.SWITCHOVER_S,
    json: Json = False,
) -> None:
    """Hand the lead to a standby, as planned.

    \b
    Examples:
      outlive switchover
      outlive switchover --to n2
    """
    from outlive.cluster import steering

    cluster = ClusterDirectory(chosen_directory(directory))
    done = await_or_exit(steering.switchover(cluster, to, timeout_s=timeout))
    if json:
        put_json({"old": done.old, "new": done.new, "seconds": round(done.seconds, 2)})
    else:
        put(f"{done.new} is primary after {done.seconds:.1f} s; {done.old} follows")


def restart(
    nodes: Annotated[list[str] | None, typer.Argument(help="Nodes; without them all.")] = None,
    directory: Dir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each node.")] = limits.RESTART_S,
) -> None:
    """Restart PostgreSQL, standbys first, the primary last, one after the other.

    \b
    Examples:
      outlive restart
      outlive restart n2
    """
    from outlive.cluster import steering

    cluster = ClusterDirectory(chosen_directory(directory))
    await_or_exit(steering.restart(cluster, nodes or [], say, timeout_s=timeout))
    put("restarted")


def supervise(
    node: Annotated[str, typer.Argument(help="The node of this process.")],
    directory: Dir = None,
) -> None:
    """Supervise one node in the foreground, as a service or a container does; `outlive up` starts one a node itself.

    SIGTERM and Ctrl-C stop the node in order.

    \b
    Example:
      outlive supervise n1 --dir /var/lib/outlive
    """
    from outlive.cluster import supervisor

    call_or_exit(lambda: supervisor.supervise(chosen_directory(directory), node))


async def _observe(directory: ClusterDirectory) -> ClusterFacts:
    from outlive.cluster import observation

    spec, secrets = directory.load()
    return await observation.observe_with_standby_names(spec, secrets, directory)


def _console() -> Console:
    from rich.console import Console

    # Piped into a file or another program, a line is not to be cut at 80 columns.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _watch(directory: ClusterDirectory) -> None:
    from rich.live import Live

    from outlive.cli import status_view

    with Live(console=_console(), auto_refresh=False, screen=True) as live:
        while True:  # until Ctrl-C
            live.update(status_view.table(asyncio.run(_observe(directory))), refresh=True)
            time.sleep(WATCH_PERIOD_S)


def _follow(files: list[tuple[str, Path]], shown: dict[Path, int]) -> None:
    """Print what comes after the first `shown` bytes of each file; one that was emptied is read from its start."""
    while True:  # until Ctrl-C
        for title, path in files:
            size = path.stat().st_size
            if size != shown[path]:
                for line in _text(path, shown[path] if size > shown[path] else 0, size).splitlines():
                    put(f"{title} | {line}")
                shown[path] = size
        time.sleep(FOLLOW_PERIOD_S)


def _text(path: Path, start: int, end: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start).decode(errors="replace")


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


def _log_files(directory: ClusterDirectory, name: str | None, components: list[str] | None) -> list[tuple[str, Path]]:
    spec, _ = directory.load()
    for component in components or ():
        if component not in COMPONENTS:
            raise ConfigurationError(f"there is no log {component!r}", hint=f"There are {', '.join(COMPONENTS)}.")
    if name is not None and name not in {node.name for node in spec.nodes}:
        raise ConfigurationError(f"the cluster has no node {name!r}")
    found = []
    for node, files in directory.nodes(spec):
        for component in components or COMPONENTS:
            path = files.journal if component == "journal" else files.log(component)
            if name in (None, node.name) and path.exists():
                found.append((f"{node.name} {component}", path))
    return found
