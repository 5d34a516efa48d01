"""The commands around a cluster on this machine.

Each imports what it needs when it runs: `outlive status` is asked often, and most of its half second is imports.
"""

from __future__ import annotations

import asyncio
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

WATCH_PERIOD_S = 1.0


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
    json: Json = False,
) -> None:
    """Stop the cluster; the data stays unless --destroy.

    Stopping what doesn't run changes nothing.

    \b
    Examples:
      outlive down
      outlive down --destroy --yes
    """
    from outlive.cluster import lifecycle

    cluster = ClusterDirectory(chosen_directory(directory))
    if not call_or_exit(cluster.exists):
        say(f"there is no cluster in {cluster.root}")
        if json:
            put_json({"directory": cluster.root, "existed": False, "removed": False})
        return
    if destroy and not yes and not typer.confirm(f"Remove the cluster in {cluster.root} with all its data?", err=True):
        say("nothing was changed")
        raise typer.Exit(1)
    await_or_exit(lifecycle.down(cluster, say))
    if destroy:
        call_or_exit(lambda: lifecycle.destroy(cluster))
    say("removed" if destroy else "down")
    if json:
        put_json({"directory": cluster.root, "existed": True, "removed": destroy})


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
    json: Json = False,
) -> None:
    """Restart PostgreSQL, standbys first, the primary last, one after the other.

    \b
    Examples:
      outlive restart
      outlive restart n2
    """
    from outlive.cluster import steering

    cluster = ClusterDirectory(chosen_directory(directory))
    restarted = await_or_exit(steering.restart(cluster, nodes or [], say, timeout_s=timeout))
    if json:
        put_json({"restarted": restarted})
    else:
        put(f"restarted {', '.join(restarted)}")


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
