"""Engines of SQLAlchemy that follow the primary: one of asyncio over asyncpg, one of threads over psycopg 3.

    engine = create_async_engine(db)
    async with engine.begin() as connection:
        await connection.execute(text("insert into turns values (:turn)"), {"turn": turn})

SQLAlchemy's pool keeps its connections; three things are added. A connection that isn't to the primary of the
client's picture is replaced when it is checked out. An error that tells of a demotion or a lost server evicts. And
when a node is lost or demoted its connections are cut at once, those in use too. Nothing is retried: an error
reaches the caller, and its next attempt has a connection to the new primary.

Source: SQLAlchemy documentation, "Dealing with Disconnects".
"""

from __future__ import annotations

from typing import Any, Protocol

import asyncpg
import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext import asyncio as asynchronous
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from outlive.adapters import following
from outlive.adapters.following import Following
from outlive.client.cluster import Cluster
from outlive.client.failures import diagnose
from outlive.client.nodes import CONNECT_TIMEOUT_S
from outlive.client.options import DEFAULT_TIMEOUT_S
from outlive.client.plan.retry import FailureKind, Phase
from outlive.client.plan.sqlstate import kind_of
from outlive.client.wire import dialer_for
from outlive.model.topology import Address
from outlive.sync import SyncCluster

_EVICTING = (FailureKind.DEMOTED, FailureKind.LOST)


def create_async_engine(db: Cluster, *, timeout: float = DEFAULT_TIMEOUT_S, **options: Any) -> AsyncEngine:
    """An engine on the primary of `db`, to be used in the event loop of `db` and disposed of before it is closed.

    `timeout` bounds, in seconds, how long a new connection may wait for a primary; `options` are those of
    SQLAlchemy's `create_async_engine`.
    """
    followed: Following[asyncpg.Connection] = Following(
        db,
        cut=lambda connection: connection.terminate(),
        passing=lambda error: diagnose(error, Phase.CONNECT, None) is not None,
    )
    dialer = dialer_for(db.dsn)
    connect_timeout_s = db.dsn.connect_timeout_s or CONNECT_TIMEOUT_S

    async def dial(address: Address) -> asyncpg.Connection:
        return (await dialer.dial(address, connect_timeout_s)).connection

    async def create(*_: Any, **__: Any) -> asyncpg.Connection:
        return await following.connect(db, followed, dial, timeout)

    engine = asynchronous.create_async_engine("postgresql+asyncpg://", async_creator=create, **options)
    _evict(engine.sync_engine, followed)
    return engine


def create_engine(db: SyncCluster, *, timeout: float = DEFAULT_TIMEOUT_S, **options: Any) -> Engine:
    """An engine over psycopg 3 on the primary of `db`; `options` are those of SQLAlchemy's `create_engine`."""
    from outlive.adapters.psycopg import Connector

    connector = Connector(db)
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connector.connect(timeout=timeout), **options
    )
    _evict(engine, connector)
    return engine


class _Followed(Protocol):
    def current(self, connection: Any, /) -> bool: ...


def _evict(engine: Engine, followed: _Followed) -> None:
    @event.listens_for(engine, "checkout")
    def check(_dbapi_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        if not followed.current(record.driver_connection):
            raise DisconnectionError("it is not a connection to the primary")

    @event.listens_for(engine, "handle_error")
    def judge(context: ExceptionContext) -> None:
        sqlstate = getattr(context.original_exception, "sqlstate", None) or ""
        if kind_of(sqlstate) in _EVICTING or not _is_current(context, followed):
            context.is_disconnect = True


def _is_current(context: ExceptionContext, followed: _Followed) -> bool:
    if context.connection is None or context.connection.invalidated:
        return True
    return followed.current(context.connection.connection.driver_connection)
