"""Events and the audit log without asyncio."""

from __future__ import annotations

from outlive.stores.audit import STREAM, Audit
from outlive.stores.event_buffer import EventBuffer
from outlive.stores.events import Events
from outlive.stores.plan.audit_chain import AuditEntry
from outlive.sync import Block, Face, Seen, SyncTransaction, like, on_loop, through


class SyncEventBuffer(Block[EventBuffer]):
    """`outlive.stores.EventBuffer` for programs without asyncio, and for many threads at once.

        with state.events.buffer() as events:
            events.record("tool.called", {"tool": "search"}, subject="trip-7")

    `on_drop` is called on the client's own thread, and has to be quick.
    """

    counts = Seen(EventBuffer, lambda buffer: buffer.counts)

    record = on_loop(EventBuffer.record)
    flush = through(EventBuffer.flush)
    close = through(EventBuffer.close)


class SyncEvents(Face[Events]):
    """`outlive.stores.Events` for programs without asyncio: its calls take and return the same."""

    new = on_loop(Events.new)
    append = through(Events.append)
    buffer = on_loop(Events.buffer, SyncEventBuffer)
    read = through(Events.read)
    count = through(Events.count)
    count_over_time = through(Events.count_over_time)
    maintain = through(Events.maintain)


class SyncAudit(Face[Audit]):
    """`outlive.stores.Audit` for programs without asyncio: its calls take and return the same."""

    @like(Audit.record)
    def record(  # noqa: D102 - what the asynchronous one says
        self,
        action: str,
        *,
        actor: str,
        subject: str = "",
        details: object = None,
        stream: str = STREAM,
        tx: SyncTransaction | None = None,
    ) -> AuditEntry:
        within = None if tx is None else tx.asynchronous
        work = self._inner.record(action, actor=actor, subject=subject, details=details, stream=stream, tx=within)
        return self._portal.call(work)

    last = through(Audit.last)
    heads = through(Audit.heads)
    verify = through(Audit.verify)
    prune = through(Audit.prune)
