"""One connection to one node: how it is opened, watched and cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from outlive.client.alarm import Alarm
from outlive.client.dialing import dialed
from outlive.client.dsn import Dsn
from outlive.client.guards import Guards
from outlive.client.plan.residue import RESET, Residue, residue
from outlive.client.pooler import PoolerConnection
from outlive.client.prepared import Prepared
from outlive.model.topology import Address

RESET_TIMEOUT_S = 2.0
KEEPALIVE_IDLE_S = 5
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_COUNT = 3
TCP_USER_TIMEOUT_MS = 5000

DEADLINE_CAME = "the deadline came"
CANCELLED = "the caller was cancelled"

_THROUGH_A_POOLER = {"connection_class": PoolerConnection, "statement_cache_size": 0}
_SYNC_WAIT = "SyncRepWaitForLSN"


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens connections to the nodes that a DSN names."""

    dsn: Dsn
    settings: Mapping[str, str]
    pooler: bool = False

    async def dial(self, address: Address, timeout_s: float) -> Wire:
        """A new connection.

        Raises:
            TimeoutError: the node did not answer within `timeout_s` seconds.
            OSError, asyncpg.PostgresError: it can't be reached, or refused.
        """
        connection = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await dialed(self._connect(address))
        except BaseException:
            # The time may be over in the very turn in which it was opened.
            if connection is not None:
                connection.terminate()
            raise
        return Wire(address, connection, pooler=self.pooler)

    async def _connect(self, address: Address) -> asyncpg.Connection:
        return await asyncpg.connect(
            dsn=self.dsn.driver_parameters(),
            host=address.host,
            port=address.port,
            user=self.dsn.user,
            password=self.dsn.password,
            database=self.dsn.database,
            server_settings=dict(self.settings),
            # Which node to use is decided here; the driver would take it from PGTARGETSESSIONATTRS.
            target_session_attrs="any",
            timeout=None,
            **(_THROUGH_A_POOLER if self.pooler else {}),
        )


def dialer_for(dsn: Dsn, *, pooler: bool = False) -> Dialer:
    """A dialer whose sessions are named, and acknowledge no less than PostgreSQL's own default."""
    named = any(key == "application_name" for key, _ in dsn.parameters)
    # A role's own default must not weaken what a single statement is acknowledged by.
    settings = {} if pooler else {"synchronous_commit": "on"}
    return Dialer(dsn, settings | ({} if named else {"application_name": "outlive"}), pooler)


class Wire:
    """An open connection. `unreplicated` is set once a commit's wait for a standby was cancelled on it.

    `residue` is the most that its statements may have left in its session.
    """

    __slots__ = (
        "_pooler",
        "address",
        "alarm",
        "connection",
        "cut_reason",
        "guards",
        "prepared",
        "residue",
        "unreplicated",
    )

    def __init__(self, address: Address, connection: asyncpg.Connection, *, pooler: bool = False) -> None:
        self.address = address
        self.connection = connection
        self.residue = Residue.NONE
        self.prepared: dict[str, Prepared] = {}
        """What is prepared on it, by the statement's text, what was not used for longest first."""
        self.guards = Guards()
        self._pooler = pooler
        self.unreplicated = False
        self.cut_reason: str | None = None
        self.alarm = Alarm(self._overdue)
        """Set to its user's deadline: it is cut then."""
        set_socket_options(connection)
        self.listen()

    def listen(self) -> None:
        """Hear the server's warnings; to be called again after a reset, which drops all listeners."""
        self.connection.add_log_listener(self._hear)

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        return not self.connection.is_closed()

    @property
    def is_standby(self) -> bool:
        """Whether the server said of itself that it is in recovery."""
        return self.told("in_hot_standby") == "on"

    def told(self, setting: str) -> str | None:
        """What the server said last of a setting that it reports; a pooler's word counts for nothing."""
        return None if self._pooler else getattr(self.connection.get_settings(), setting, None)

    def note(self, sql: str) -> None:
        """Remember what a statement that is about to be executed may leave behind."""
        left = residue(sql)
        if left > self.residue:
            self.residue = left

    async def reset(self) -> None:
        """Make the session what it was before its user had it, or drop it."""
        try:
            async with asyncio.timeout(RESET_TIMEOUT_S):
                await self._reset()
        except BaseException as error:
            self.cut("it could not be reset")
            if not isinstance(error, Exception):
                raise

    async def _reset(self) -> None:
        if self.unreplicated or not self.is_open or self.connection.is_in_transaction():
            self.cut("its user left it in doubt")
        elif self.residue is Residue.LASTING and not self._pooler:
            self.cut("its user left in it what only its end removes")
        else:
            # The driver's own part first: it forgets its listeners.
            await self.connection.reset()
            if not self._pooler:
                await self.connection.execute(RESET)
            self.guards.clear()
            self.residue = Residue.NONE
            self.listen()

    def cut(self, reason: str) -> None:
        """Drop it at once: whoever waits on it fails now, and nothing is sent but the end of the session."""
        if self.cut_reason is None:
            self.cut_reason = reason
        self.alarm.stop()
        self.connection.terminate()

    def _overdue(self) -> None:
        self.cut(DEADLINE_CAME)

    def _hear(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        # The routine's name, unlike the text, is the same in every language.
        if getattr(message, "server_source_function", None) == _SYNC_WAIT:
            self.unreplicated = True


def set_socket_options(connection: asyncpg.Connection) -> None:
    """Let the kernel notice a dead peer: the driver sets neither keepalive nor a user timeout."""
    sock = connection._transport.get_extra_info("socket")  # noqa: SLF001 - the driver offers no other way
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        # macOS and Windows lack some of them.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


_TCP_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
    "TCP_USER_TIMEOUT": TCP_USER_TIMEOUT_MS,
}
