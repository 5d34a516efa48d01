"""A conversation is deleted by mistake, after the failover: what a standby repeats faithfully, a backup undoes.

The backup was taken before the work began, so that its restore has to replay all of it, the failover included, and to
stop just before the deletion. What it finds is held against the ledger that was kept outside the database. Then the
conversation is brought back from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from outlive import system
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan import verdict
from outlive.backup.proving.evidence import VERIFIED, Evidence
from outlive.backup.proving.examination import Ledger
from outlive.client.cluster import Cluster
from outlive.demo.backups import Backups
from outlive.history import Operation, TurnAcknowledged
from outlive.model.lsn import Timeline

_NOW = "SELECT clock_timestamp() AS at, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline"
_LONGEST = "SELECT id FROM outlive.conversations WHERE id = ANY ($1) ORDER BY turn_count DESC, id LIMIT 1"
_DELETE = "DELETE FROM outlive.conversations WHERE id = $1"
_TURNS = "SELECT c.id || ' ' || t.id FROM outlive.turns AS t JOIN outlive.conversations AS c ON c.key = t.conversation"


@dataclass(frozen=True, slots=True)
class Mishap:
    """What was deleted, how far the store was behind the last write (seconds), and what the restore test found."""

    conversation: str
    behind_s: float
    evidence: Evidence

    @property
    def verified(self) -> bool:
        """Whether everything that was acknowledged before the deletion came back, and the backup is sound."""
        return self.evidence.status == VERIFIED

    @property
    def restore_s(self) -> float:
        """Seconds from nothing to a server that recovered and was checked."""
        return self.evidence.seconds["total"]


async def undergo(
    db: Cluster,
    backups: Backups,
    backup: BackupManifest,
    operations: Iterable[Operation],
    conversations: list[str],
    say: Callable[[str], None],
) -> Mishap:
    """Delete a conversation, restore to the moment before, and bring it back."""
    began = system.monotonic()
    now = await db.fetchrow(_NOW, read="strong")
    assert now is not None, "it is one row"
    await backups.covered(Timeline(int(now["timeline"], 16)), now["at"])
    behind_s = system.monotonic() - began
    victim = await db.fetchval(_LONGEST, conversations, read="strong")
    await db.execute(_DELETE, victim, idempotent=True)
    say(f"Deleted the conversation {victim} by mistake. Restoring to the moment before, on a server apart.")
    told = ledger(operations, db.dsn.database or "", system.monotonic(), system.now_utc())
    evidence = await backups.prove(backup, now["at"], told)
    say("Bringing the conversation back into the cluster.")
    await backups.bring_back(victim, now["at"], db)
    return Mishap(victim, behind_s, evidence)


def ledger(operations: Iterable[Operation], database: str, now: float, now_utc: datetime) -> Ledger:
    """The turns that were acknowledged, in the words of a restore test; `now` and `now_utc` are the same moment."""
    acknowledged: dict[str, datetime] = {}
    for operation in operations:
        if isinstance(operation, TurnAcknowledged):
            at = now_utc - timedelta(seconds=now - operation.at)
            acknowledged.setdefault(f"{operation.conversation} {operation.turn}", at)
    told = tuple(verdict.Operation(id=name, began_at=at, acknowledged_at=at) for name, at in acknowledged.items())
    return Ledger(database=database, query=_TURNS, operations=told)
