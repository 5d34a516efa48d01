"""Backups that are asked for through PgBouncer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from integration.backup.one_server import PASSWORD, OneServer, newest
from integration.client.bouncer import PROGRAM, bouncer, present
from integration.client.waiting import until
from outlive.backup import points
from outlive.backup.codec import Codec
from outlive.backup.layout import Kind
from outlive.backup.taking.create import create
from outlive.backup.taking.request import Request
from outlive.errors import ConfigurationError
from outlive.model.topology import Address
from outlive.object_storage.opening import open_store
from outlive.postgres import programs
from outlive.postgres.access import Access
from require import require

pytestmark = newest
LIMIT_S = 30.0
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture
def through(server: OneServer) -> Iterator[Access]:
    """The way to the primary through a PgBouncer in transaction mode."""
    require("pgbouncer", present(), f"no {PROGRAM}")
    root = server.root / f"bouncer-{uuid4().hex[:8]}"
    with bouncer(root, server.ports["primary"], PASSWORD, server.account) as port:
        yield replace(server.access, addresses=(Address("127.0.0.1", port),))


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_backup_through_a_pooler(server: OneServer, through: Access, tmp_path: Path, kind: Kind) -> None:
    """Refused before anything is written, with the way out; no lock of it stays in a session of the pooler's."""
    store = open_store(f"file://{tmp_path}")
    wish = Request(kind=kind, programs=programs.directory(None), codec=Codec())
    with pytest.raises(ConfigurationError, match="is a pooler") as refused:
        await create(store, through, wish)
    assert "the server's own" in (refused.value.hint or "")
    assert [facts.key async for facts in store.list()] == []
    await until(lambda: _unlocked(server), LIMIT_S)
    assert (await create(store, server.access, wish)).kind in (kind, Kind.FULL)


async def _unlocked(server: OneServer) -> bool:
    """One that was left in a session of the pooler's would stay for as long as that runs."""
    return await server.sql(LOCKS) == 0


async def test_a_restore_point_through_a_pooler(through: Access, tmp_path: Path) -> None:
    """Refused too: what answers may be another server at each statement."""
    with pytest.raises(ConfigurationError, match="is a pooler"):
        await points.make(open_store(f"file://{tmp_path}"), through, "before")
