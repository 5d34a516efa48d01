"""Where an acknowledged commit is in the WAL, asked for afterwards.

A commit's position is not among what its acknowledgement says, and asking costs a round trip, so nobody pays for it
who does not ask. The primary's flushed position is asked for afterwards: an acknowledged commit was flushed before it,
so whoever has the WAL that far has the commit.

After a failover that holds for what the new primary is known to have: a critical commit that a synchronous standby
confirmed. What became of another one can't be told.

Source: PostgreSQL documentation, `pg_current_wal_flush_lsn` and `pg_stat_replication`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg

from outlive.client import statement
from outlive.client.attempts import Attempts
from outlive.client.failures import AttemptError
from outlive.client.nodes import Nodes
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.errors import CommitUnknownError, ConfigurationError, NoPrimaryError
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability, Receipt
from outlive.model.lsn import Lsn, Timeline
from outlive.system import monotonic

FLUSH_WAIT_S = 2.0
FLUSH_PAUSE_S = 0.02

POSITION = """
select p.lsn::text,
       pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) as segment,
       array(select application_name from pg_catalog.pg_stat_replication
             where flush_lsn >= p.lsn order by application_name) as flushed
from (select coalesce($1::text::pg_catalog.pg_lsn, pg_catalog.pg_current_wal_flush_lsn()) as lsn) p
"""


async def locate(nodes: Nodes, receipt: Receipt, deadline: Deadline) -> Receipt:
    """The receipt with its position, and with the standbys that have it on disk.

    Waits a moment, `FLUSH_WAIT_S` at most, until a standby has flushed it, where one had to confirm the commit.
    """
    await _check(nodes, receipt, deadline)
    lsn, row = None, await _ask(nodes, receipt, None, deadline)
    timeline = _timeline(row)
    if timeline > receipt.timeline:
        _check_survived(receipt, timeline)
    elif receipt.lsn is not None:
        lsn, row = receipt.lsn, await _ask(nodes, receipt, receipt.lsn, deadline)
    lsn = lsn or Lsn.parse(row["lsn"])
    until = deadline.sooner(FLUSH_WAIT_S, monotonic())
    while receipt.synchronous_standbys and not row["flushed"] and not until.expired(monotonic()):
        await asyncio.sleep(FLUSH_PAUSE_S)
        row = await _ask(nodes, receipt, lsn, deadline)
    return replace(receipt, lsn=lsn, timeline=timeline, flushed=tuple(row["flushed"]))


async def _check(nodes: Nodes, receipt: Receipt, deadline: Deadline) -> None:
    known = nodes.monitor.view.system_identifier
    if known is not None and known != receipt.system_identifier:
        raise ConfigurationError(
            f"the receipt is of another cluster (system identifier {receipt.system_identifier}, not {known})",
            hint="Connect to the cluster that gave it.",
        )
    if not await nodes.monitor.wait(lambda view: view.highest >= receipt.timeline, deadline):
        raise NoPrimaryError(f"no node on the receipt's timeline {receipt.timeline} was found")


def _check_survived(receipt: Receipt, timeline: Timeline) -> None:
    if receipt.durability is Durability.CRITICAL and receipt.synchronous_standbys:
        return
    raise CommitUnknownError(
        f"no standby had to confirm the commit on timeline {receipt.timeline}, and a failover to timeline {timeline} "
        "came after it",
        hint="Read back what it wrote.",
    )


async def _ask(nodes: Nodes, receipt: Receipt, lsn: Lsn | None, deadline: Deadline) -> asyncpg.Record:
    async def ask(connection: asyncpg.Connection) -> asyncpg.Record:
        row = await connection.fetchrow(POSITION, None if lsn is None else str(lsn))
        if _timeline(row) < receipt.timeline:
            raise AttemptError(AttemptFailure(Phase.BEGIN, FailureKind.DEMOTED, "it is an old primary"))
        return row

    attempts = Attempts(nodes.monitor, max(deadline.remaining_s(monotonic()), 0.001), idempotent=True)
    return await statement.ask(nodes, attempts, ask, POSITION)


def _timeline(row: asyncpg.Record) -> Timeline:
    return Timeline(int(row["segment"][:8], 16))
