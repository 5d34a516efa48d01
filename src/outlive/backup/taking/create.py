"""Takes a backup: chooses the server, reserves an ID, streams, checks, counts, and writes the manifest last.

Whatever fails or is interrupted before the manifest leaves no backup, and what was written for it is removed; of a
process that was killed, `prune` removes it later.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from typing import IO

import msgspec

from outlive import system
from outlive.backup import repository
from outlive.backup.catalog import Catalog
from outlive.backup.layout import MANIFEST, PG_MANIFEST, BackupId, Kind, backup_key
from outlive.backup.manifest import FORMAT, BackupManifest, DatabaseCounts, encode
from outlive.backup.plan import increment
from outlive.backup.plan.increment import Candidate, NotIncremental
from outlive.backup.plan.source import Refusal, ServerFacts, choose
from outlive.backup.taking import counting, logical, physical
from outlive.backup.taking.holding import Hold, checkpoint, hold
from outlive.backup.taking.physical import NotIncrementalError
from outlive.backup.taking.progress import Meter
from outlive.backup.taking.request import Listener, Request, Step
from outlive.backup.taking.reservation import abandon, release, reserve
from outlive.backup.taking.servers import observe
from outlive.errors import BackupError, ConfigurationError, OutliveError, UnavailableError
from outlive.model.outcome import Outcome
from outlive.model.topology import Role
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access


async def create(
    store: ObjectStore, access: Access, request: Request, listener: Listener | None = None
) -> BackupManifest:
    """Take a backup; its manifest, once it is in the store.

    Raises:
        ConfigurationError: it can't be taken as asked; nothing was written.
        UnavailableError: no server answers.
        BackupError: it failed on the way.
        ObjectStorageError: the store failed.
    """
    taking = Taking(store, access, request, listener or Listener())
    return await taking.run()


class Taking:
    """One backup being taken."""

    def __init__(self, store: ObjectStore, access: Access, request: Request, listener: Listener) -> None:
        self._store = store
        self._access = access
        self._request = request
        self._listener = listener
        self._durations: dict[str, float] = {}
        self._notes: list[str] = []
        self._primary: ServerFacts | None = None
        self._in_doubt = False

    async def run(self) -> BackupManifest:
        """All of it."""
        with self._step(Step.CHOOSE):
            server = await self._choose()
            await repository.require(self._store, server.system_identifier, self._request.codec.key_id)
        async with hold(self._access, server.address) as held:
            parent = await self._parent(server) if self._request.kind is Kind.INCREMENTAL else None
            if parent is None:
                return await self._take(held, server, None)
            try:
                return await self._take(held, server, parent)
            except NotIncrementalError as error:
                self._without_increment(str(error))
            return await self._take(held, server, None)

    async def _choose(self) -> ServerFacts:
        servers = await observe(self._access)
        chosen = choose(servers, self._request.wanted, self._request.lag_limit_bytes)
        if isinstance(chosen, Refusal):
            raise UnavailableError(chosen.reason, hint=chosen.hint)
        self._note(chosen.note)
        self._primary = next((each for each in servers if each.role is Role.PRIMARY), None)
        if self._request.kind is not Kind.LOGICAL and chosen.server.tablespaces:
            raise ConfigurationError(
                f"the cluster has tablespaces of its own ({', '.join(chosen.server.tablespaces)}), "
                "which can't be streamed as one",
                hint="Move what they hold into pg_default, or take logical backups.",
            )
        return chosen.server

    async def _parent(self, server: ServerFacts) -> BackupManifest | None:
        """The backup to take this one against; None where it is to be a full one after all."""
        catalog = await Catalog.load(self._store)
        candidates = [_candidate(each) for each in catalog.backups if each.kind is not Kind.LOGICAL]
        found = increment.choose(candidates, server)
        if isinstance(found, NotIncremental):
            self._without_increment(found.reason)
            return None
        return catalog.find(found.id)

    def _without_increment(self, reason: str) -> None:
        if not self._request.or_full:
            raise BackupError(f"no incremental backup can be taken: {reason}", hint="Take a full one: --type full.")
        self._note(f"a full backup instead of an incremental one: {reason}")

    async def _take(self, held: Hold, server: ServerFacts, parent: BackupManifest | None) -> BackupManifest:
        kind = self._kind(parent)
        with self._step(Step.RESERVE):
            backup_id = await reserve(self._store, kind, parent.id if parent else None)
        try:
            manifest = await self._fill(backup_id, held, server, parent)
            with self._step(Step.PUBLISH):
                await self._publish(manifest)
        except BaseException:
            await self._undo(backup_id)
            raise
        with contextlib.suppress(OutliveError):
            await release(self._store, backup_id)
        return manifest

    async def _undo(self, backup_id: BackupId) -> None:
        if self._in_doubt:
            # Its manifest may yet come to lie there: without the objects it would be a backup that can't be restored.
            self._note(f"whether {backup_id} exists is not known; `outlive backup list` will tell")
        elif (left := await abandon(self._store, backup_id)) is not None:
            self._note(f"what was written of {backup_id} could not be removed ({left}); `prune` will")

    def _kind(self, parent: BackupManifest | None) -> Kind:
        if self._request.kind is Kind.LOGICAL:
            return Kind.LOGICAL
        return Kind.INCREMENTAL if parent else Kind.FULL

    async def _fill(
        self, backup_id: BackupId, held: Hold, server: ServerFacts, parent: BackupManifest | None
    ) -> BackupManifest:
        base = BackupManifest(
            format=FORMAT, id=str(backup_id), kind=backup_id.kind, parent=parent.id if parent else None,
            system_identifier=server.system_identifier, postgres_version=server.version_text, timeline=server.timeline,
            started_at=backup_id.started_at, finished_at=backup_id.started_at, from_node=str(server.address),
            from_role=server.role.value, objects=(), segment_bytes=server.segment_bytes,
            outlive_version=version("outlive"), key_id=self._request.codec.key_id,
        )  # fmt: skip
        if backup_id.kind is Kind.LOGICAL:
            filled = await self._logical(base, server)
        else:
            filled = await self._physical(base, held, server, parent)
        return _changed(filled, finished_at=system.now_utc(), durations=dict(self._durations), notes=tuple(self._notes))

    async def _logical(self, base: BackupManifest, server: ServerFacts) -> BackupManifest:
        database = self._request.database or self._access.database
        with self._step(Step.SEND):
            dumped = await logical.take(self._store, base.id, self._access, server, self._request, self._meter())
        return _changed(base, objects=dumped.objects, counts=dumped.counts, database=database)

    async def _physical(
        self, base: BackupManifest, held: Hold, server: ServerFacts, parent: BackupManifest | None
    ) -> BackupManifest:
        with self._step(Step.SEND), tempfile.TemporaryFile() as scratch:
            await held.keep_wal()
            self._note(held.note)
            against = await self._against(parent, held, server, scratch)
            try:
                sent = await physical.take(
                    self._store, base.id, self._access, server, self._request, held, self._meter(), against
                )
            except BackupError as error:
                await self._blame_failover(server, error)
                raise
        with self._step(Step.CHECK):
            await self._require_no_failover(held, server, sent.wal.timeline)
        with self._step(Step.COUNT):
            counts = await self._counts(server)
        return _changed(
            base, objects=sent.objects, start_lsn=str(sent.wal.start), end_lsn=str(sent.wal.end), counts=counts
        )

    async def _against(
        self, parent: BackupManifest | None, held: Hold, server: ServerFacts, scratch: IO[bytes]
    ) -> IO[bytes] | None:
        if parent is None:
            return None
        if server.role is Role.STANDBY and self._primary is not None:
            # A standby's backup begins at its last restart point, which has to lie behind the parent.
            with contextlib.suppress(UnavailableError):
                await held.replayed(await checkpoint(self._access, self._primary.address))
        await physical.fetch_pg_manifest(self._store, parent.id, self._request, scratch)
        return scratch

    async def _counts(self, server: ServerFacts) -> tuple[DatabaseCounts, ...]:
        if not self._request.count_rows:
            return ()
        try:
            return await counting.count(self._access, server.address)
        except UnavailableError as error:
            self._note(f"without counts to compare a restore with: {error}")
            return ()

    async def _require_no_failover(self, held: Hold, before: ServerFacts, timeline: int) -> None:
        now = await held.look()
        if (now.timeline, now.role) != (before.timeline, before.role) or timeline != before.timeline:
            raise _failover(before, now)

    async def _blame_failover(self, before: ServerFacts, error: BackupError) -> None:
        """Say so if what broke pg_basebackup was a failover, or the death of the server that may bring one."""
        answering: tuple[ServerFacts, ...] = ()
        with contextlib.suppress(UnavailableError):
            answering = await observe(self._access)
        for now in answering:
            if now.timeline > before.timeline or (now.address == before.address and now.role is not before.role):
                raise _failover(before, now) from error
        if before.address not in {now.address for now in answering}:
            raise BackupError(
                f"{before.address} went away while the backup was taken from it: {error}",
                hint="Take it again, once there is a primary (`outlive status`).",
            ) from error

    async def _publish(self, manifest: BackupManifest) -> None:
        if manifest.parent is not None and await self._store.head(backup_key(manifest.parent, MANIFEST)) is None:
            raise BackupError(f"backup {manifest.parent}, which this one is based on, was removed meanwhile")
        self._in_doubt = True
        putting = asyncio.ensure_future(
            self._store.put(backup_key(manifest.id, MANIFEST), encode(manifest), create=True)
        )
        try:
            # Not to be cut off in the middle: only its end tells whether the backup exists.
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.wait([putting])
            raise
        finally:
            self._in_doubt = _unknown(putting)

    def _meter(self) -> Meter:
        return Meter(self._listener.progress)

    def _note(self, line: str | None) -> None:
        if line is not None and line not in self._notes:
            self._notes.append(line)
            self._listener.note(line)

    @contextlib.contextmanager
    def _step(self, step: Step) -> Iterator[None]:
        self._listener.step(step)
        began = system.monotonic()
        yield
        self._durations[step.value] = round(system.monotonic() - began, 3)


def _unknown(putting: asyncio.Future[None]) -> bool:
    error = putting.exception()
    return error is not None and (not isinstance(error, OutliveError) or error.outcome is Outcome.UNKNOWN)


def _candidate(backup: BackupManifest) -> Candidate:
    return Candidate(
        id=backup.id, parent=backup.parent, system_identifier=backup.system_identifier,
        has_pg_manifest=backup.object_named(PG_MANIFEST) is not None,
    )  # fmt: skip


def _failover(before: ServerFacts, now: ServerFacts) -> BackupError:
    return BackupError(
        f"a failover happened while the backup was taken from {before.address}: timeline {before.timeline} became "
        f"{now.timeline}, and {now.address} is a {now.role.value} now",
        hint="Take it again.",
    )


def _changed(manifest: BackupManifest, **changes: object) -> BackupManifest:
    return msgspec.structs.replace(manifest, **changes)
