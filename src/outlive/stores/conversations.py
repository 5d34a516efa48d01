"""Finding, making and opening conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from outlive.errors import ConfigurationError, NotFoundError
from outlive.stores import listing
from outlive.stores.appends import Appends
from outlive.stores.conversation import Conversation
from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.hold import Hold
from outlive.stores.listing import DEFAULT_PAGE, Page, Status
from outlive.stores.queries import queries
from outlive.stores.records import Picture, read_picture
from outlive.stores.statements import Statements

DEFAULT_LEASE_S = 30.0
MAX_LEASE_S = 86_400.0


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
            checked_name(id, "a conversation's id"),
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
        rows = await self._statements.write_all(sql, list(among), worker, checked_lease(lease_s))
        return self._held(read_picture(rows[0]), worker, lease_s) if rows else None

    async def create(self, ids: Iterable[str], *, metadata: Mapping[str, Any] | None = None) -> int:
        """Make those conversations that are not there yet, in this order; returns how many are new.

        A retry after a lost answer counts only what is new to it.
        """
        checked = [checked_name(each, "a conversation's id") for each in ids]
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
        row = await self._statements.read(queries("conversations")["count_open"], list(among))
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
        row = await self._statements.write(sql, id, self._metadata(changes), [*removed], whole)
        return MappingProxyType(decode(row["metadata"]))

    def _metadata(self, metadata: Mapping[str, Any] | None) -> str:
        return encode(dict(metadata or {}), "the metadata", self._max_value_bytes)

    def _held(self, picture: Picture, worker: str, lease_s: float) -> Conversation:
        hold = Hold(self._statements, picture.id, worker, picture.lease_token, lease_s, self._max_value_bytes)
        return Conversation(hold, picture, self._appends)


def checked_lease(lease_s: float) -> float:
    """A length of a lease, in seconds, that makes sense."""
    if not 0 < lease_s <= MAX_LEASE_S:
        raise ConfigurationError(f"lease_s must lie between 0 and {MAX_LEASE_S:.0f} seconds, not {lease_s}")
    return float(lease_s)
