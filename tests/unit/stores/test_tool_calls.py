"""A tool is not run by a worker that was paused for so long that the conversation may be another's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from outlive import system
from outlive.errors import LeaseLostError
from outlive.stores.hold import Hold
from outlive.stores.records import FREE
from outlive.stores.tool_calls import ToolCalls


class Paused(Hold):
    """A hold whose answers come when its lease has run out; another worker has it then, or nobody."""

    taken = False
    queries: tuple[str, ...] = ()

    async def write(self, query: str, *_args: Any) -> Any:
        """Take a write that was in time, and refuse one that is late if the lease was taken."""
        self.queries += (query,)
        if self.taken and query == "renew":
            raise LeaseLostError("the lease is over", hint=None)
        self.written_at = system.monotonic() - (0.0 if query == "renew" else self.lease_s)
        return {"result": None, "attempts": 1, "tokens": 0, "dollars": Decimal(0)}


@pytest.mark.parametrize("taken", [True, False])
async def test_a_tool_is_run_only_by_whoever_has_the_lease_still(taken: bool) -> None:
    """Between the note that it starts and its first step another worker may have run it to its end."""
    hold = Paused(None, "c", "w", 1, 30.0, 1000)  # type: ignore[arg-type]  # nothing is sent
    hold.taken = taken
    ran: list[int] = []
    call = ToolCalls(hold, ()).run("k", ran.append, (1,), on_interrupted="rerun", name=None, cost=FREE)
    if taken:
        with pytest.raises(LeaseLostError):
            await call
    else:
        await call
    assert ran == ([] if taken else [1])
    assert hold.queries == ("start_tool_call", "renew", *(() if taken else ("end_tool_call",)))
