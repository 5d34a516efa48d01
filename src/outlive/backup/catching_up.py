"""Lays WAL out of the store into a standby's `pg_wal` when it stands still because its primary has removed it."""

from __future__ import annotations

import asyncio
import contextlib

from outlive import system
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import file_key, segment_key
from outlive.backup.plan.catching_up import Standing, after_look, waits, wanted
from outlive.backup.plan.wal_page import Foreign, judge
from outlive.backup.wal_files import WalFiles
from outlive.errors import BackupError, ObjectNotFoundError, OutliveError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment, parse_history

TIMELINES_AHEAD = 16
"""Failovers at most that the store may know of and the standby not."""


async def newest_way(files: WalFiles, deposit: Deposit) -> tuple[Timeline, tuple[TimelineSwitch, ...]]:
    """The newest timeline that the server or the store knows of, and what led to it.

    The store may know of a failover before a standby does that can't reach the new primary yet. On the old timeline it
    has WAL that the new one never had: a standby that replayed it would have to be rewound.

    Raises:
        ObjectStorageError: the store failed.
        ValueError: a history is none.
    """
    timeline, switches = await asyncio.to_thread(files.newest_history)
    with contextlib.suppress(ObjectNotFoundError):
        for newer in map(Timeline, range(timeline + 1, timeline + 1 + TIMELINES_AHEAD)):
            history = await deposit.read(file_key(f"{newer:08X}.history"))
            timeline, switches = newer, parse_history(newer, history.decode())
    return timeline, switches


class CatchingUp:
    """Is told where the standby stands, as often as one looks; `tasks` runs what it then does."""

    def __init__(self, files: WalFiles, deposit: Deposit, log: ArchiverLog, tasks: asyncio.TaskGroup) -> None:
        self._files, self._deposit, self._log, self._tasks = files, deposit, log, tasks
        self._standing: Standing | None = None
        self._laid: Lsn | None = None
        self._busy = False

    def look(self, position: Lsn) -> None:
        """Help on a standby that has all WAL up to `position`, if it has stood there for too long.

        One that goes on with what was laid down gets more at once.
        """
        now, before = system.monotonic(), self._standing
        self._standing = after_look(before, position, now)
        stands = waits(self._standing, now)
        goes_on = self._laid is not None and before is not None and before.position != position
        if self._busy or not (stands or goes_on):
            return
        if stands:
            self._standing, self._laid = Standing(position, now), None
        self._busy = True
        self._tasks.create_task(self._help(position))

    async def _help(self, position: Lsn) -> None:
        try:
            page = await asyncio.to_thread(self._files.any_page)
            timeline, switches = await newest_way(self._files, self._deposit)
            for segment in wanted(position, timeline, switches, page.segment_bytes) if page else ():
                if self._laid is None or segment.end > self._laid:
                    await self._lay(segment, page.system_identifier if page else 0)
        except ObjectNotFoundError:
            self._laid = None  # the store has no more
        except (OutliveError, OSError, ValueError) as error:
            self._laid = None
            self._log.event("catching-up-failed", position=str(position), error=str(error))
        finally:
            self._busy = False

    async def _lay(self, segment: WalSegment, system_identifier: int) -> None:
        raw = await self._deposit.read(segment_key(segment))
        judged = judge(segment, raw, len(raw), system_identifier)
        if isinstance(judged, Foreign):
            raise BackupError(f"{segment.name} in the store is not that segment: {judged.reason}")
        await asyncio.to_thread(self._files.lay, segment.name, raw)
        self._laid = segment.end
        self._log.event("segment-brought-back", file=segment.name)
