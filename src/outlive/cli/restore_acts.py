"""What `outlive restore` does, once it is known from where and to which moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace as replaced
from pathlib import Path

import outlive
from outlive.backup.observation import observe
from outlive.backup.plan.recovery import Wish
from outlive.backup.plan.targets import BackupEnd, Latest, NameTarget, Target, parse_lsn, parse_time
from outlive.backup.proving.asked_restore import restore_and_ask
from outlive.backup.restoring import conversation as conversations
from outlive.backup.restoring import serving
from outlive.backup.restoring.conversation import BroughtBack, Lost
from outlive.backup.restoring.restore import BeforeHandingOver, Restored, granted, nothing
from outlive.backup.restoring.restore import restore as run
from outlive.backup.restoring.server import PORT, PrivateServer
from outlive.cli.restore_view import Teller
from outlive.cli.storage import Place
from outlive.cli.terminal import say
from outlive.cluster import adoption, lifecycle, making, ports
from outlive.cluster.directory import ClusterDirectory
from outlive.errors import ConfigurationError
from outlive.model.lsn import Timeline
from outlive.postgres import programs

RESTORED = "restored"
"""Where the data lies within the new cluster's directory until its first node takes it over."""


def named(into: Path | None) -> Path:
    """The directory to restore into.

    Raises:
        ConfigurationError: none was named.
    """
    if into is None:
        raise ConfigurationError("no directory to restore into", hint="Name an empty one with --into.")
    return into.expanduser().absolute()


def asked(
    backup: str | None, to_time: str | None, to_lsn: str | None, to_name: str | None, *, latest: bool,
    timeline: int | None,
) -> Wish:  # fmt: skip
    """What is to be brought back, as it was asked for.

    Raises:
        ConfigurationError: more than one target was named, or one that is none.
    """
    given = [each for each in (to_time, to_lsn, to_name, latest or None) if each is not None]
    if len(given) > 1:
        raise ConfigurationError("more than one target", hint="Give one of --to-time, --to-lsn, --to-name, --latest.")
    return Wish(
        target=_target(
            to_time, to_lsn, to_name, otherwise=BackupEnd() if backup is not None and not given else Latest()
        ),
        backup=None if backup == "latest" else backup,
        timeline=Timeline(timeline) if timeline else None,
    )


def _target(to_time: str | None, to_lsn: str | None, to_name: str | None, *, otherwise: Target) -> Target:
    if to_time is not None:
        return granted(parse_time(to_time))
    if to_lsn is not None:
        return granted(parse_lsn(to_lsn))
    return otherwise if to_name is None else NameTarget(to_name)


async def restore(
    where: Place,
    wish: Wish,
    into: Path,
    replace: Path | None,
    postgres_bin: Path | None,
    prepare: BeforeHandingOver = nothing,
    *,
    verify: bool = False,
) -> Restored:
    """A data directory, and on stderr how far it is."""
    async with where.opened() as store:
        catalog, material = await observe(store, where.keyring)
        if wish.backup is not None:
            catalog.find(wish.backup)
        if verify:
            return await restore_and_ask(
                material, catalog.backups, wish, into, prepare=prepare, postgres_bin=postgres_bin, replace=replace,
                report=Teller(),
            )  # fmt: skip
        return await run(
            material, wish, into, postgres_bin=postgres_bin, replace=replace, report=Teller(), prepare=prepare
        )


async def serve(restored: Restored, postgres_bin: Path | None) -> int:
    """Start the server there on a free port; the port."""
    port = ports.find(1)[0]
    await serving.serve(restored.into, programs.directory(postgres_bin), port, restored.owner)
    return port


async def as_cluster(
    where: Place, wish: Wish, root: Path, nodes: int, postgres_bin: Path | None, *, verify: bool = False
) -> tuple[Restored, str]:
    """A cluster around the restored data, started; with the DSN of the application's user."""
    spec, secrets = adoption.make(root, making.Wish(nodes=nodes, postgres_bin=postgres_bin))

    async def prepare(server: PrivateServer) -> None:
        await asyncio.to_thread(adoption.set_passwords, server.sockets, PORT, spec, secrets)

    try:
        restored = await restore(where, wish, root / RESTORED, None, postgres_bin, prepare, verify=verify)
    except BaseException:
        adoption.abandon(root)
        raise
    await asyncio.to_thread(adoption.settle, root, spec, root / RESTORED)
    reach = await lifecycle.up(ClusterDirectory(root), making.Wish(), say)
    return replaced(restored, into=root), reach


def lost(conversation: str, wish: Wish, database: str, new_id: str | None, postgres_bin: Path | None) -> Lost:
    """The conversation that is wanted back."""
    return Lost(conversation=conversation, wish=wish, database=database, new_id=new_id, postgres_bin=postgres_bin)


async def bring_back(where: Place, wanted: Lost, dsn: str | None) -> BroughtBack:
    """One conversation, imported into the database of `dsn`, else of the local cluster."""
    # It can be done again from the same store, so a server without standbys will do.
    async with where.opened() as store, outlive.connect(dsn, degraded="allow") as db:
        _, material = await observe(store, where.keyring)
        return await conversations.bring_back(material, wanted, db, Teller())
