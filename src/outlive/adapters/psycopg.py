"""Connections of psycopg 3 to the primary, wherever it is.

    connector = AsyncConnector(db)
    async with await connector.connect() as connection:
        await connection.execute("insert into turns values (%s)", [turn])

A connection whose node is lost, demoted or found to be an old primary is cut at once, and what waits on it fails
with `psycopg.OperationalError`. Nothing is retried here: take a new connection.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import psycopg
from psycopg.pq import Conninfo

from outlive.adapters import following
from outlive.adapters.following import Following
from outlive.client.cluster import Cluster
from outlive.client.dsn import Dsn
from outlive.client.options import DEFAULT_TIMEOUT_S
from outlive.client.wire import KEEPALIVE_COUNT, KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, TCP_USER_TIMEOUT_MS
from outlive.model.topology import Address
from outlive.sync import SyncCluster

CONNECT_TIMEOUT_S = 2
"""libpq knows no shorter one."""


class AsyncConnector:
    """Opens connections to the primary of `db`; one serves for as long as `db` does."""

    def __init__(self, db: Cluster) -> None:
        self._db = db
        self._following: Following[psycopg.AsyncConnection[Any]] = Following(db, cut=_cut, passing=_passing)

    async def connect(self, *, timeout: float = DEFAULT_TIMEOUT_S, **options: Any) -> psycopg.AsyncConnection[Any]:
        """A connection to the primary; `options` are those of `psycopg.AsyncConnection.connect`.

        Raises:
            NoPrimaryError: none could be opened within `timeout` seconds.
        """

        async def dial(address: Address) -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(**parameters(self._db.dsn, address), **options)

        return await following.connect(self._db, self._following, dial, timeout)

    def current(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Whether a connection that this connector opened is to the node that takes writes now."""
        return self._following.current(connection)


class Connector:
    """`AsyncConnector` for programs without asyncio, over the client of `outlive.sync`."""

    def __init__(self, db: SyncCluster) -> None:
        self._db = db
        self._following: Following[psycopg.Connection[Any]] = Following(db, cut=_cut, passing=_passing)

    def connect(self, *, timeout: float = DEFAULT_TIMEOUT_S, **options: Any) -> psycopg.Connection[Any]:
        """A connection to the primary; `options` are those of `psycopg.connect`.

        Raises:
            NoPrimaryError: none could be opened within `timeout` seconds.
        """

        def dial(address: Address) -> psycopg.Connection[Any]:
            return psycopg.Connection.connect(**parameters(self._db.dsn, address), **options)

        return following.connect_sync(self._db, self._following, dial, timeout)

    def current(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether a connection that this connector opened is to the node that takes writes now."""
        return self._following.current(connection)


def parameters(dsn: Dsn, address: Address) -> dict[str, Any]:
    """What libpq has to know to reach one node of a DSN; settings of the session travel in `options`."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    given = dict(dsn.parameters)
    # As in the client: a role's own default must not weaken what a commit is acknowledged by.
    session = {"synchronous_commit": "on"} | {name: value for name, value in given.items() if name not in known}
    settings = [f"-c {name}={_escaped(value)}" for name, value in session.items()]
    chosen: dict[str, Any] = {
        "user": dsn.user,
        "password": dsn.password,
        "dbname": dsn.database,
        "host": address.host,
        "port": address.port,
        "connect_timeout": max(CONNECT_TIMEOUT_S, round(dsn.connect_timeout_s or 0)),
        "keepalives_idle": KEEPALIVE_IDLE_S,
        "keepalives_interval": KEEPALIVE_INTERVAL_S,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
        # Which node to use is decided here; libpq would take it from PGTARGETSESSIONATTRS.
        "target_session_attrs": "any",
        "options": " ".join([*settings, given.get("options", "")]).strip(),
    }
    passed = {name: value for name, value in given.items() if name in known}
    return {"application_name": "outlive"} | passed | {name: value for name, value in chosen.items() if value}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _passing(error: Exception) -> bool:
    return isinstance(error, psycopg.OperationalError)


def _cut(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """End a connection below libpq, so that whoever waits on it, in whatever thread, fails now."""
    try:
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # it was closed meanwhile
