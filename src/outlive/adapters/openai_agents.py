"""A session of the OpenAI Agents SDK, kept where a failover can't lose it.

    result = await Runner.run(agent, "Book a window seat.", session=OutliveSession(db, "trip-7"))

Each call of the session is one transaction, retried for you when the primary dies and applied once. The session is a
conversation: what else reads conversations sees its items as turns.

What the seam can't give: the SDK doesn't say which run an item belongs to, so a run that is started anew by another
process, after the first one died, adds its input anew. Continue such a run with an empty input instead.

Source: OpenAI Agents SDK documentation, "Sessions"; `agents.memory.Session`.
"""

from __future__ import annotations

from typing import Any, cast

from agents.items import TResponseInputItem
from agents.memory import SessionABC, SessionSettings

from outlive.client.cluster import Cluster
from outlive.stores import AgentState, NewTurn
from outlive.stores.shared import new_attempt


class OutliveSession(SessionABC):
    """A session on an Outlive cluster; the schema is made by `outlive migrate`."""

    def __init__(
        self, db: Cluster | AgentState, session_id: str, *, session_settings: SessionSettings | None = None
    ) -> None:
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()
        self._turns = (db if isinstance(db, AgentState) else AgentState(db)).shared

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The latest `limit` items in order, or all; a limit of the settings counts where none is given."""
        settings = self.session_settings
        last = limit if limit is not None or settings is None else settings.limit
        whole = last is None or last < 0  # as the SDK's SQLite session has it
        return await self._turns.contents(self.session_id, last=None if whole else last)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append items, all or none; they are replicated when this returns.

        Raises:
            outlive.LeaseLostError: a worker holds this conversation by a lease.
            outlive.UnstorableError: an item can't be kept as it is.
        """
        call = new_attempt()
        turns = [NewTurn(f"{call}-{place}", _role(item), item) for place, item in enumerate(items)]
        await self._turns.append(self.session_id, turns)

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the latest item and return it, or None if there is none."""
        taken = await self._turns.take_last(self.session_id)
        return cast("TResponseInputItem", taken[0]) if taken else None

    async def clear_session(self) -> None:
        """Remove all items."""
        await self._turns.clear(self.session_id)


def _role(item: TResponseInputItem) -> str:
    fields = cast("dict[str, Any]", item)
    return str(fields.get("role") or fields.get("type") or "item")
