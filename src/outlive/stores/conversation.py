"""One conversation in the hands of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType, TracebackType
from typing import Any, Self

from outlive import system
from outlive.errors import LeaseLostError, OutliveError
from outlive.stores.appends import Append, Appends
from outlive.stores.effects import EffectColumns, Effects
from outlive.stores.encoding import decode, encode
from outlive.stores.hold import Hold
from outlive.stores.listening import ring
from outlive.stores.records import FREE, Checkpoint, Cost, NewTurn, Picture, ToolCall, Turn
from outlive.stores.task_records import NewTask
from outlive.stores.tool_calls import OnInterrupted, ToolCalls
from outlive.stores.turns import TurnColumns

_RENEWALS_A_LEASE = 3


class Conversation:
    """A conversation whose lease this worker holds, as it was when opened and as this worker went on with it.

    Every write is committed and replicated when its call returns, is safe to repeat, renews the lease, and is
    refused with `LeaseLostError`, applying nothing, once another worker has taken the lease. (If an earlier attempt
    of that very call had been applied before its answer was lost, the new holder has it in its picture.)
    As a context manager it releases the lease at the end.
    """

    def __init__(self, hold: Hold, picture: Picture, appends: Appends) -> None:
        self._hold = hold
        self._appends = appends
        self._turns = {turn.id: turn for turn in picture.turns}
        self._checkpoint = picture.checkpoint
        self._calls = ToolCalls(hold, picture.tool_calls)
        self._metadata = MappingProxyType(dict(picture.metadata))
        self._complete = picture.status == "complete"

    @property
    def id(self) -> str:
        """The conversation's id: the recovery key that any worker opens it with."""
        return self._hold.conversation

    @property
    def worker(self) -> str:
        """Who holds it."""
        return self._hold.worker

    @property
    def lease_token(self) -> int:
        """The fencing token: larger than that of every lease before."""
        return self._hold.token

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What was said of it when it was made."""
        return self._metadata

    @property
    def is_complete(self) -> bool:
        """Whether it was completed, and nothing appended since."""
        return self._complete

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns in order."""
        return tuple(sorted(self._turns.values(), key=lambda turn: turn.position))

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint."""
        return self._checkpoint

    @property
    def tool_calls(self) -> Mapping[str, ToolCall]:
        """The tool calls by their keys, as far as this worker knows of them."""
        return self._calls.known

    async def append(
        self,
        turn_id: str,
        role: str,
        content: Any,
        *,
        tokens: int = 0,
        dollars: Decimal | float = 0,
        effects: Sequence[NewTask] = (),
    ) -> Turn:
        """Add a turn after the last one; a turn that is there with this id, role and content is returned as it is.

        Appends to other conversations that come at the same time share its round trip and its commit. `effects` are
        tasks that are enqueued if, and only if, the turn is kept: what a worker then does outside the database.

        Raises:
            KeyReusedError: the id is there with another role or content.
            LeaseLostError: another worker holds the conversation now.
            UnstorableError: the content can't be kept as it is.
        """
        (turn,) = await self.append_all([NewTurn(turn_id, role, content, tokens, dollars)], effects=effects)
        return turn

    async def append_all(self, turns: Sequence[NewTurn], *, effects: Sequence[NewTask] = ()) -> tuple[Turn, ...]:
        """Add several turns in order, all or none; otherwise like `append`."""
        if not turns:
            return ()
        columns = TurnColumns.of(turns, self._hold.max_value_bytes)
        kept = await (self._append_with(columns, effects) if effects else self._append(columns))
        self._turns.update((turn.id, turn) for turn in kept)
        self._complete = False
        return kept

    async def _append(self, columns: TurnColumns) -> tuple[Turn, ...]:
        sent_at = system.monotonic()
        kept = await self._appends.append(Append(self.id, self.lease_token, self._hold.lease_s, columns))
        self._hold.written_at = sent_at
        return kept

    async def _append_with(self, columns: TurnColumns, effects: Sequence[NewTask]) -> tuple[Turn, ...]:
        checked = EffectColumns.of(effects, self._hold.max_value_bytes, self.id, "turns", *columns.ids)
        row = await self._hold.write("append_with_effects", *columns.arguments(), *checked.columns)
        await ring(self._hold.statements.db, checked.queues)
        return columns.kept(row["positions"], row["created_at"])

    async def tool_call(
        self,
        key: str,
        fn: Callable[..., Awaitable[Any] | Any],
        *args: Any,
        on_interrupted: OnInterrupted = "rerun",
        name: str | None = None,
        cost: Cost | Callable[[Any], Cost] = FREE,
        effects: Effects = (),
    ) -> Any:
        """Run `fn(*args)` once for this key and keep its result; a call that is finished returns the kept result.

        `fn` may be a coroutine function; arguments and result must be JSON values, and the result comes back as JSON
        gives it (tuples as lists), the first time as in a replay. A call that was started and whose end is not known,
        because its worker died, is run again or, with `on_interrupted="ask"`, raises. An exception of `fn` is noted
        as the call's failure and goes on to the caller; the next `tool_call` with this key runs it again.
        `cost` is what the call took, or says so of its result. `effects` are tasks, or say them of the result, that are
        enqueued if, and only if, the result is kept.

        Raises:
            KeyReusedError: the key is there with another tool or other arguments.
            InterruptedCallError: the call was interrupted, and was to ask.
            LeaseLostError: another worker holds the conversation now.
            UnstorableError: the arguments or the result can't be kept as they are.
        """
        return await self._calls.run(
            key, fn, args, on_interrupted=on_interrupted, name=name, cost=cost, effects=effects
        )

    async def settle_tool_call(self, key: str, result: Any, cost: Cost = FREE) -> None:
        """Note the result of an interrupted call whose effect was found out in another way.

        Raises:
            NotFoundError: there is no such call.
            VersionConflictError: the call has ended otherwise.
        """
        await self._calls.settle(key, result, cost)

    async def checkpoint(self, state: Any) -> Checkpoint:
        """Keep `state` as the next version.

        Raises:
            VersionConflictError: the last version is not the one that this worker knows.
        """
        version = 1 if self._checkpoint is None else self._checkpoint.version + 1
        text = encode(state, f"the checkpoint {version} of {self.id!r}", self._hold.max_value_bytes)
        row = await self._hold.write("checkpoint", version, text)
        self._checkpoint = Checkpoint(version, row["turn_count"], decode(text), row["created_at"])
        return self._checkpoint

    async def renew(self) -> datetime:
        """Renew the lease; returns until when it lasts, by the database's clock."""
        row = await self._hold.write("renew")
        lease_until: datetime = row["lease_until"]
        return lease_until

    @asynccontextmanager
    async def keep_alive(self) -> AsyncIterator[Self]:
        """Renew the lease in the background while something takes longer than the lease lasts.

        A lease that is lost meanwhile shows at the next write, not here.
        """
        renewal = asyncio.create_task(self._renew_for_ever(), name=f"renew {self.id}")
        try:
            yield self
        finally:
            renewal.cancel()
            # Not by `await renewal`: a cancellation of the caller would be taken for the renewal's own.
            await asyncio.wait([renewal])
            if not renewal.cancelled():
                renewal.result()

    async def complete(self) -> None:
        """Mark the conversation as complete and give the lease back. An append, after a new `open`, reopens it."""
        await self._hold.end(complete=True)
        self._complete = True

    async def release(self) -> None:
        """Give the lease back, so that another worker may go on at once. May be called twice."""
        await self._hold.end(complete=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever took the lease meanwhile has it now: there is nothing left to give back, and no error to hide.
        with suppress(LeaseLostError):
            await self.release()

    async def _renew_for_ever(self) -> None:
        pause_s = self._hold.lease_s / _RENEWALS_A_LEASE
        while True:
            idle_s = system.monotonic() - self._hold.written_at
            await asyncio.sleep(max(pause_s - idle_s, pause_s / 10))
            if system.monotonic() - self._hold.written_at < pause_s:
                continue
            try:
                await self.renew()
            except LeaseLostError:
                return
            except OutliveError:
                continue  # no primary for longer than a write is retried: the lease is tried again, then refused
