"""`outlive restore`: a data directory, a server or a cluster out of the backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.storage_options import KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, chosen_directory, put, put_json, say
from outlive.errors import ConfigurationError

if TYPE_CHECKING:
    from outlive.backup.plan.recovery import Wish
    from outlive.backup.restoring.restore import Restored
    from outlive.cli.storage import Place


def restore(
    into: Annotated[Path, typer.Option(help="The directory to restore into; empty or not there.")],
    backup: Annotated[str | None, typer.Option(help="The backup to begin with.", show_default="the best")] = None,
    to_time: Annotated[str | None, typer.Option(help="A moment with its offset: 2026-11-24T22:50:00Z.")] = None,
    to_lsn: Annotated[str | None, typer.Option(help="A position in the WAL: 16/B374D848.")] = None,
    to_name: Annotated[str | None, typer.Option(help="A restore point: `outlive backup point`.")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="All that is there; the default without --backup.")] = False,
    timeline: Annotated[int | None, typer.Option(min=1, help="End on this timeline.", show_default="newest")] = None,
    start: Annotated[bool, typer.Option("--start", help="Start it on a free port of this machine.")] = False,
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
    is; else all WAL up to the target is replayed. Nothing is ever written over a running server.

    \b
    Examples:
      outlive restore --into ./data --latest --start
      outlive restore --into ./data --to-time 2026-11-24T22:50:00Z
      outlive restore --into ./data --backup 20261124T020000Z-full
      outlive restore --into ./data --to-name before-migration
    """
    from outlive.cli.storage import place

    wish = call_or_exit(
        lambda: _wish(backup, to_time, to_lsn, to_name, latest=latest, timeline=timeline),
    )
    where = call_or_exit(lambda: place(storage, storage_options, key_file, chosen_directory(directory), policy))
    target = into.expanduser().absolute()
    restored = await_or_exit(_restore(where, wish, target, replace and replace.expanduser().absolute(), postgres_bin))
    port = await_or_exit(_serve(target, postgres_bin)) if start else None
    _tell(restored, port, json=json)


async def _restore(where: Place, wish: Wish, into: Path, replace: Path | None, postgres_bin: Path | None) -> Restored:
    from outlive.backup.observation import observe
    from outlive.backup.restoring.restore import restore as run
    from outlive.cli.restore_view import Teller

    async with where.opened() as store:
        catalog, material = await observe(store, where.keyring)
        if wish.backup is not None:
            catalog.find(wish.backup)
        return await run(material, wish, into, postgres_bin=postgres_bin, replace=replace, report=Teller())


async def _serve(data: Path, postgres_bin: Path | None) -> int:
    from outlive.backup.restoring.serving import serve
    from outlive.cluster import ports
    from outlive.postgres import programs

    port = ports.find(1)[0]
    await serve(data, programs.directory(postgres_bin), port)
    return port


def _wish(
    backup: str | None,
    to_time: str | None,
    to_lsn: str | None,
    to_name: str | None,
    *,
    latest: bool,
    timeline: int | None,
) -> Wish:
    from outlive.backup.plan.recovery import Wish
    from outlive.backup.plan.targets import BackupEnd, Latest, NameTarget, Refusal, Target, parse_lsn, parse_time
    from outlive.backup.restoring.restore import refusal
    from outlive.model.lsn import Timeline

    given = [each for each in (to_time, to_lsn, to_name, latest or None) if each is not None]
    if len(given) > 1:
        raise ConfigurationError("more than one target", hint="Give one of --to-time, --to-lsn, --to-name, --latest.")
    named = None if backup in (None, "latest") else backup
    target: Target | Refusal = BackupEnd() if backup is not None and not given else Latest()
    if to_time is not None:
        target = parse_time(to_time)
    elif to_lsn is not None:
        target = parse_lsn(to_lsn)
    elif to_name is not None:
        target = NameTarget(to_name)
    if isinstance(target, Refusal):
        raise refusal(target)
    return Wish(target=target, backup=named, timeline=Timeline(timeline) if timeline else None)


def _tell(restored: Restored, port: int | None, *, json: bool) -> None:
    from outlive.cli import restore_view

    if json:
        put_json(restore_view.as_json(restored) | ({"port": port} if port else {}))
        return
    put(restore_view.as_text(restored))
    if port:
        put(f"psql -h 127.0.0.1 -p {port} -U postgres")
        say(f"  It runs apart from any cluster; its roles and passwords are those of the backup. Stop it with\n"
            f"  pg_ctl -D {restored.into} stop")  # fmt: skip
