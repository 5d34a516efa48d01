"""One node asked what it is, over a connection kept for nothing else.

Every role may ask for role, system identifier, position and the primary's timeline. A standby's timeline is
exact for a role with `pg_read_all_stats`; others read it from the control file, which follows a promotion at the
next restart point, and until then reads go elsewhere. So too with the standbys' synchronous state: others see
which standbys are connected, not which of them are synchronous.

Source: PostgreSQL documentation, "System Information Functions" and "The Cumulative Statistics System".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.client.wire import Dialer, Wire
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role
from outlive.system import monotonic

# The control file lags after a promotion; the name of the segment being written does not.
QUERY = """
select c.system_identifier::text,
       r.in_recovery,
       case when r.in_recovery then r.replayed::text else pg_catalog.pg_current_wal_insert_lsn()::text end as lsn,
       case when r.in_recovery then null
            else pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) end as segment,
       case when r.in_recovery
            then greatest((select received_tli from pg_catalog.pg_stat_get_wal_receiver()),
                          (select min_recovery_end_timeline from pg_catalog.pg_control_recovery()),
                          (select timeline_id from pg_catalog.pg_control_checkpoint())) end as standby_timeline,
       case when r.in_recovery then null
            else pg_catalog.current_setting('synchronous_standby_names') end as names,
       case when r.in_recovery then null
            else array(select application_name from pg_catalog.pg_stat_replication
                       where coalesce(sync_state, 'sync') in ('sync', 'quorum')
                         and coalesce(state, 'streaming') = 'streaming'
                       order by application_name) end as connected
from (select pg_catalog.pg_is_in_recovery() as in_recovery, pg_catalog.pg_last_wal_replay_lsn() as replayed) r,
     pg_catalog.pg_control_system() c
"""

STALL_S = 0.1
_LOGIN_REFUSED = ("28", "3D")


class Probe:
    """Asks one node, again and again, each time within `deadline_s`.

    `heard_at` tells when the node last answered anybody, in seconds on the monotonic clock: one that answers others
    is busy, not frozen. `refusal` is what the server said when it refused the login.
    """

    def __init__(self, address: Address, dialer: Dialer, deadline_s: float, heard_at: Callable[[], float]) -> None:
        self.address = address
        self.refusal: str | None = None
        self._dialer = dialer
        self._deadline_s = deadline_s
        self._heard_at = heard_at
        self._visit = 0
        self._wire: Wire | None = None
        self._last: Observation | None = None

    async def observe(self) -> Observation | NodeSilence:
        """What the node is right now, or why it did not say so."""
        asked_at = monotonic()
        try:
            row = await self._ask(await self._connected())
        except asyncpg.TooManyConnectionsError:
            # It answers, and has no room for one more question: what it was is the best that is known.
            return self._last or NodeSilence(self.address, "it has no connection left", asked_at)
        except Exception as error:
            self.refusal = _refusal(error)
            reason = self._reason(error)
            self.close()
            return NodeSilence(self.address, reason, asked_at)
        self.refusal = None
        self._last = to_observation(self.address, row, asked_at, self._visit)
        return self._last

    async def stop(self) -> None:
        """Drop the connection; may be called twice."""
        self.close()

    def close(self) -> None:
        """Drop the connection; the next question opens another."""
        if self._wire is not None:
            self._wire.cut("the watch is over")
            self._wire = None

    async def _connected(self) -> Wire:
        if self._wire is None or not self._wire.is_open:
            self._wire = await self._dialer.dial(self.address, self._deadline_s)
            self._visit += 1
        return self._wire

    async def _ask(self, wire: Wire) -> asyncpg.Record:
        timer = _Overdue(wire, self._deadline_s, self._heard_at)
        try:
            return await wire.connection.fetchrow(QUERY)
        except asyncio.CancelledError:
            # Before the driver can open a connection for its CancelRequest, which nobody would wait for.
            self.close()
            raise
        finally:
            timer.cancel()

    def _reason(self, error: Exception) -> str:
        if self._wire is not None and self._wire.cut_reason is not None:
            return self._wire.cut_reason
        if isinstance(error, TimeoutError):
            return f"it did not accept a connection within {self._deadline_s:g} s"
        if isinstance(error, ConnectionRefusedError):
            return "it refuses connections"
        if isinstance(error, asyncpg.InternalClientError | asyncpg.InterfaceError):
            return "its connection was lost"
        return str(error) or type(error).__name__


class _Overdue:
    """Cuts a connection whose answer is overdue, unless the delay is this process's or the node is merely busy."""

    def __init__(self, wire: Wire, deadline_s: float, heard_at: Callable[[], float]) -> None:
        self._wire = wire
        self._deadline_s = deadline_s
        self._heard_at = heard_at
        self._arm(deadline_s)

    def cancel(self) -> None:
        """The answer came."""
        self._timer.cancel()

    def _arm(self, after_s: float) -> None:
        self._armed_at = monotonic()
        self._due = self._armed_at + after_s
        self._timer = asyncio.get_running_loop().call_later(after_s, self._came)

    def _came(self) -> None:
        if monotonic() - self._due > STALL_S:
            # The program blocked its own event loop: the answer may wait in the socket, so let the loop read it.
            self._arm(STALL_S)
        elif self._heard_at() > self._armed_at:
            self._arm(self._deadline_s)
        else:
            self._wire.cut(f"it did not answer within {self._deadline_s:g} s")


def _refusal(error: Exception) -> str | None:
    if isinstance(error, asyncpg.ClientConfigurationError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_LOGIN_REFUSED):
        return str(error)
    return None


def to_observation(address: Address, row: asyncpg.Record, asked_at: float, visit: int) -> Observation:
    """The facts in one answer to `QUERY`."""
    in_recovery = row["in_recovery"]
    timeline = row["standby_timeline"] if in_recovery else int(row["segment"][:8], 16)
    facts = NodeFacts(
        address=address,
        system_identifier=row["system_identifier"],
        role=Role.STANDBY if in_recovery else Role.PRIMARY,
        timeline=Timeline(timeline),
        lsn=Lsn.parse(row["lsn"]) if row["lsn"] else Lsn(0),
        replay_lag_s=None if in_recovery else 0.0,
        observed_at=asked_at,
        replay_lag_bytes=None if in_recovery else 0,
    )
    return Observation(facts, None if in_recovery else Synchronous(row["names"], tuple(row["connected"])), visit)
