"""Finding, making and opening conversations."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from outlive.errors import ConfigurationError, NotFoundError
from outlive.stores import life, listing, transfer
from outlive.stores.appends import Appends
from outlive.stores.conversation import Conversation
from outlive.stores.encoding import checked_name, checked_names, decode, encode_object
from outlive.stores.hold import Hold
from outlive.stores.listing import DEFAULT_PAGE, Page, Status
from outlive.stores.queries import queries
from outlive.stores.records import Picture, read_picture
from outlive.stores.statements import Statements

DEFAULT_LEASE_S = 30.0
MAX_LEASE_S = 86_400.0
_ID = "a conversation's id"


class Conversations:
    """The conversations of one database. `state.conversations` is one of these."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._appends = Appends(statements)
        self._max_value_bytes = max_value_bytes

    async def open(
        self,
        id: str,  # noqa: A002 - the word of the field, and of every message
        *,
        worker: str,
        lease_s: float = DEFAULT_LEASE_S,
        metadata: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Take the conversation's lease and bring back all that is kept of it, in one round trip.

        Makes it, with `metadata`, if there is none. The lease lasts `lease_s` seconds by the database's clock and is
        renewed by every write; a worker that is named like the holder gets it at once and fences the holder off,
        so no two live workers may share a name.

        Raises:
            LeaseLostError: another worker holds it now; the message says who, and for how long.
            UnstorableError: the id, the worker's name or the metadata can't be kept as they are.
            SchemaError: the tables are not there.
        """
        row = await self._statements.write(
            queries("conversations")["open"],
            checked_name(id, _ID),
            checked_name(worker, "a worker's name"),
            checked_lease(lease_s),
            self._metadata(metadata),
        )
        return self._held(read_picture(row), worker, lease_s)

    async def claim(
        self, among: Iterable[str], *, worker: str, lease_s: float = DEFAULT_LEASE_S
    ) -> Conversation | None:
        """Take the first of these conversations that is open and that nobody holds; None if there is none.

        This is how several workers share a list of conversations, and how a dead worker's are taken over: they are
        free again when its lease is over. Conversations that don't exist are passed over (`create` makes them).
        """
        checked_name(worker, "a worker's name")
        sql = queries("conversations")["claim"]
        rows = await self._statements.write_all(sql, checked_names(among, _ID), worker, checked_lease(lease_s))
        return self._held(read_picture(rows[0]), worker, lease_s) if rows else None

    async def create(self, ids: Iterable[str], *, metadata: Mapping[str, Any] | None = None) -> int:
        """Make those conversations that are not there yet, in this order; returns how many are new.

        A retry after a lost answer counts only what is new to it.
        """
        checked = checked_names(ids, _ID)
        row = await self._statements.write(queries("conversations")["create"], checked, self._metadata(metadata))
        return int(row[0])

    async def load(self, id: str) -> Picture:  # noqa: A002
        """Read all of a conversation without taking its lease; shows every acknowledged write.

        Raises:
            NotFoundError: there is no such conversation.
        """
        row = await self._statements.read(queries("conversations")["load"], id)
        if row is None:
            raise NotFoundError(f"there is no conversation {id!r}")
        return read_picture(row)

    async def count_open(self, among: Iterable[str]) -> int:
        """How many of these conversations exist and are not complete."""
        row = await self._statements.read(queries("conversations")["count_open"], checked_names(among, _ID))
        return 0 if row is None else int(row[0])

    async def list(
        self,
        *,
        status: Status | None = None,
        updated_since: datetime | None = None,
        limit: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page:
        """A page of conversations, those made last first; `after` is the `next` of the page before.

        Raises:
            ConfigurationError: the limit, the time or `after` is nothing that can be asked for.
        """
        chosen = listing.wanted(status, updated_since, None)
        return await listing.page(self._statements, chosen, limit=limit, after=after)

    async def search(
        self,
        metadata: Mapping[str, Any],
        *,
        status: Status | None = None,
        updated_since: datetime | None = None,
        limit: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page:
        """A page of the conversations whose metadata contains this: its keys with these values, at any depth.

        An index finds them, however many others there are. Otherwise like `list`.
        """
        chosen = listing.wanted(status, updated_since, metadata)
        return await listing.page(self._statements, chosen, limit=limit, after=after)

    async def set_metadata(self, id: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: A002
        """Say `metadata` of a conversation instead of what was said of it; needs no lease. Returns it.

        Raises:
            NotFoundError: there is no such conversation.
        """
        return await self._change_metadata(id, metadata, (), whole=True)

    async def merge_metadata(
        self,
        id: str,  # noqa: A002
        changes: Mapping[str, Any],
        *,
        remove: Iterable[str] = (),
    ) -> Mapping[str, Any]:
        """Change what is said of a conversation, key by key, and drop the keys in `remove`. Returns all of it.

        Raises:
            NotFoundError: there is no such conversation.
        """
        return await self._change_metadata(id, changes, remove, whole=False)

    async def _change_metadata(
        self,
        id: str,  # noqa: A002
        changes: Mapping[str, Any],
        removed: Iterable[str],
        *,
        whole: bool,
    ) -> Mapping[str, Any]:
        sql = queries("listing")["change_metadata"]
        row = await self._statements.write(sql, id, self._metadata(changes), checked_names(removed, "a key"), whole)
        return MappingProxyType(decode(row["metadata"]))

    async def fork(self, id: str, new_id: str, *, at_turn: str | None = None) -> int:  # noqa: A002
        """Begin the conversation `new_id` with the turns of another one, up to and with `at_turn`, or all of them.

        It gets the newest checkpoint of that moment, the tool calls that had finished, and the metadata; nobody holds
        it. Turns are copied. A fork that is there already is left as it is. Returns how many turns it began with.

        Raises:
            NotFoundError: there is no such conversation or turn, or `new_id` was erased a short while ago.
            KeyReusedError: there is a conversation `new_id` that is not this fork.
        """
        sql = queries("life")["fork"]
        row = await self._statements.write(sql, id, at_turn, checked_name(new_id, _ID))
        return int(row["turns"])

    def export(self, id: str, *, format: transfer.Format = "jsonl") -> AsyncIterator[str]:  # noqa: A002
        """The lines of a conversation as it is at one moment, without their ends: `jsonl` is all of it, one object a
        line, `openai` one line in the OpenAI chat format: what was said, and nothing else.

        A conversation is held in memory while it is exported, as by `load`.

        Raises:
            NotFoundError: there is no such conversation.
        """
        return transfer.export(self._statements, id, format)

    async def import_(self, lines: Iterable[str] | AsyncIterable[str]) -> transfer.ImportReport:
        """Keep the conversations of exported lines, of either format: each whole or not at all, one after the other.

        One that is there with the same content is left as it is. A chat without an id gets one made of its messages.

        Raises:
            UnstorableError: a line is damaged; the message has its number, and nothing of its conversation is kept.
            KeyReusedError: a conversation is there with other content.
            NotFoundError: it was erased a short while ago.
        """
        return await transfer.import_lines(self._statements, lines, self._max_value_bytes)

    async def erase(
        self, *ids: str, subject: str | None = None, refuse_for: timedelta = life.REFUSE_ERASED
    ) -> life.Erasure:
        """Erase conversations, and all that hangs on them or is kept under their ids or for `subject` elsewhere.

        `subject` is whom it is about: what the key `subject` says of the metadata of conversations, threads and
        documents, and of tasks' payloads; the scope of histories, the user of an application's sessions, a label of
        items' namespaces, and whatever other stores keep by subject. Forks go with what they were forked from. For
        `refuse_for` an erased id can't be made again, so that a write which comes late brings nothing back. Entries of
        the audit log keep their place and lose what they said, if the role owns the log; else they are told as
        `remaining`. Backups keep what they hold until their retention ends.

        Raises:
            ConfigurationError: nothing was named.
        """
        return await life.erase(self._statements, ids, subject, refuse_for)

    async def retention(
        self,
        older_than: timedelta,
        *,
        batch: int = life.RETENTION_BATCH,
        dry_run: bool = False,
        on_progress: Callable[[life.Forgotten], object] | None = None,
    ) -> life.Forgotten:
        """Forget conversations that have not changed for `older_than` and that nobody holds, `batch` at a time.

        Each batch is a transaction of its own; to stop in between and begin again later is fine. One that is being
        written to is left alone. `on_progress` is called after each batch.
        """
        return await life.forget(self._statements, older_than, batch=batch, dry_run=dry_run, on_progress=on_progress)

    def _metadata(self, metadata: Mapping[str, Any] | None) -> str:
        return encode_object(metadata, "the metadata", self._max_value_bytes)

    def _held(self, picture: Picture, worker: str, lease_s: float) -> Conversation:
        hold = Hold(self._statements, picture.id, worker, picture.lease_token, lease_s, self._max_value_bytes)
        return Conversation(hold, picture, self._appends)


def checked_lease(lease_s: float) -> float:
    """A length of a lease, in seconds, that makes sense."""
    if not 0 < lease_s <= MAX_LEASE_S:
        raise ConfigurationError(f"lease_s must lie between 0 and {MAX_LEASE_S:.0f} seconds, not {lease_s}")
    return float(lease_s)
