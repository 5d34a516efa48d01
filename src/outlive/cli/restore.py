"""`outlive restore`: a data directory, a server or a cluster out of the backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlive.cli.storage_options import DsnOption, KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, put, put_json, say

if TYPE_CHECKING:
    from outlive.backup.restoring.restore import Restored


def restore(
    into: Annotated[Path | None, typer.Option(help="The directory to restore into; empty or not there.")] = None,
    backup: Annotated[str | None, typer.Option(help="The backup to begin with.", show_default="the best")] = None,
    to_time: Annotated[str | None, typer.Option(help="A moment with its offset: 2026-11-24T22:50:00Z.")] = None,
    to_lsn: Annotated[str | None, typer.Option(help="A position in the WAL: 16/B374D848.")] = None,
    to_name: Annotated[str | None, typer.Option(help="A restore point: `outlive backup point`.")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="All that is there; the default without --backup.")] = False,
    timeline: Annotated[int | None, typer.Option(min=1, help="End on this timeline.", show_default="newest")] = None,
    start: Annotated[bool, typer.Option("--start", help="Start it on a free port of this machine.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read and ask all of it before it is handed over.")] = False,
    as_cluster: Annotated[bool, typer.Option("--as-cluster", help="Make it a new cluster, and start it.")] = False,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of the new cluster.")] = 3,
    conversation: Annotated[str | None, typer.Option(help="Bring back this one alone, beside the live one.")] = None,
    new_id: Annotated[str | None, typer.Option(help="What to call it.", show_default="ID@MOMENT")] = None,
    database: Annotated[str, typer.Option(help="The database that the conversation is in.")] = "agents",
    dsn: DsnOption = None,
    replace: Annotated[Path | None, typer.Option(help="The same directory again: put aside what is in it.")] = None,
    postgres_bin: Annotated[Path | None, typer.Option(help="The directory of PostgreSQL's programs.")] = None,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Bring back the database as it was at a moment, into an empty directory.

    The result is a data directory that was recovered and stopped in order. `--backup` alone brings that backup as it
    is; else all WAL up to the target is replayed. Nothing is ever written over a running server. `--verify` asks the
    restored server what a restore test asks (`outlive backup verify`), and hands it over only if all is there.

    \b
    Examples:
      outlive restore --into ./data --latest --verify --start
      outlive restore --into ./data --to-time 2026-11-24T22:50:00Z
      outlive restore --into ./data --backup 20261124T020000Z-full
      outlive restore --into ./data --to-name before-migration
      outlive restore --into ./cluster --as-cluster
      outlive restore --conversation booking-7 --to-time 2026-11-24T22:50:00Z
    """
    from outlive.cli import restore_acts, restore_view
    from outlive.cli.backup_acts import interruptible
    from outlive.cli.storage import place_or_exit

    wanted = call_or_exit(
        lambda: restore_acts.asked(backup, to_time, to_lsn, to_name, latest=latest, timeline=timeline)
    )
    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    if conversation is not None:
        lost = restore_acts.lost(conversation, wanted, database, new_id, postgres_bin)
        back = await_or_exit(interruptible(restore_acts.bring_back(where, lost, dsn)))
        put_json(restore_view.back_as_json(back)) if json else put(restore_view.back_as_text(back))
        return
    target = call_or_exit(lambda: restore_acts.named(into))
    if as_cluster:
        restored, reach = await_or_exit(
            interruptible(restore_acts.as_cluster(where, wanted, target, nodes, postgres_bin, verify=verify))
        )
        _tell(restored, {"dsn": reach}, json=json)
        return
    named = replace and replace.expanduser().absolute()
    restored = await_or_exit(
        interruptible(restore_acts.restore(where, wanted, target, named, postgres_bin, verify=verify))
    )
    port = await_or_exit(restore_acts.serve(restored, postgres_bin)) if start else None
    _tell(restored, {"port": port} if port else {}, json=json)


def _tell(restored: Restored, reach: dict[str, Any], *, json: bool) -> None:
    from outlive.cli import restore_view

    if json:
        put_json(restore_view.as_json(restored) | reach)
        return
    put(restore_view.as_text(restored))
    if "dsn" in reach:
        put(reach["dsn"])
    if "port" in reach:
        put(f"psql -h 127.0.0.1 -p {reach['port']} -U postgres")
        say("  It runs apart from any cluster; its roles and passwords are those of the backup. Stop it with")
        say(f"  pg_ctl -D {restored.into} stop")
