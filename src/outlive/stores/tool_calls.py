"""Tool calls of one conversation: each key runs once, and its result is replayed."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, get_args
from uuid import UUID
from weakref import WeakValueDictionary

from outlive import system
from outlive.errors import ConfigurationError, KeyReusedError
from outlive.model.identifiers import uuid7
from outlive.stores.calling import called
from outlive.stores.effects import EffectColumns, Effects
from outlive.stores.encoding import checked_name, decode, describe, digest, encode
from outlive.stores.hold import Hold
from outlive.stores.listening import ring
from outlive.stores.records import FREE, CallStatus, Cost, ToolCall
from outlive.stores.task_records import NewTask
from outlive.stores.turns import checked_dollars, checked_tokens

OnInterrupted = Literal["rerun", "ask"]
CostOf = Cost | Callable[[Any], Cost]


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for under a key; two requests are the same when their hashes are."""

    key: str
    name: str
    arguments: str
    arguments_hash: bytes


class ToolCalls:
    """What is known of a conversation's tool calls, and how one is run."""

    def __init__(self, hold: Hold, kept: Iterable[ToolCall]) -> None:
        self._hold = hold
        self._known = {call.key: call for call in kept}
        # Two tasks with the same key: the second waits for the first and replays, it is no interrupted call.
        self._running: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def known(self) -> Mapping[str, ToolCall]:
        """The calls by their keys."""
        return MappingProxyType(self._known)

    async def run(
        self,
        key: str,
        fn: Callable[..., Awaitable[Any] | Any],
        args: tuple[Any, ...],
        *,
        on_interrupted: OnInterrupted,
        name: str | None,
        cost: CostOf,
        effects: Effects = (),
    ) -> Any:
        """See `Conversation.tool_call`."""
        if on_interrupted not in get_args(OnInterrupted):
            raise ConfigurationError(f'on_interrupted is "rerun" or "ask", not {on_interrupted!r}')
        request = self._request(key, name or _name_of(fn), args)
        async with self._running.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known is not None and known.status is CallStatus.FINISHED:
                return _replay(known, request)
            attempt = uuid7(int(system.now_utc().timestamp() * 1000), system.chance.getrandbits(74))
            kept = await self._start(request, attempt, rerun=on_interrupted == "rerun")
            if kept is not None:
                return decode(kept)
            if self._hold.may_have_lapsed:
                await self._hold.write("renew")  # nothing that another worker has run meanwhile is run here
            return await self._execute(request, attempt, functools.partial(fn, *args), cost, effects)

    async def settle(self, key: str, result: Any, cost: Cost) -> None:
        """See `Conversation.settle_tool_call`."""
        text = encode(result, f"the result of the tool call {key!r}", self._hold.max_value_bytes)
        await self._end(key, None, text, None, _checked(cost, key))

    def _request(self, key: str, name: str, args: tuple[Any, ...]) -> _Request:
        checked_name(key, "a tool call's key")
        checked_name(name, f"the name of the tool call {key!r}")
        arguments = encode(list(args), f"the arguments of the tool call {key!r}", self._hold.max_value_bytes)
        return _Request(key, name, arguments, digest(f"{name}\n{arguments}"))

    async def _start(self, request: _Request, attempt: UUID, *, rerun: bool) -> str | None:
        """Note that the call starts; the JSON text of its result if it had finished before."""
        arguments = (request.key, request.name, request.arguments, request.arguments_hash, attempt, rerun)
        row = await self._hold.write("start_tool_call", *arguments)
        replayed: str | None = row["result"]
        self._known[request.key] = ToolCall(
            key=request.key,
            name=request.name,
            arguments=decode(request.arguments),
            arguments_hash=request.arguments_hash,
            status=CallStatus.STARTED if replayed is None else CallStatus.FINISHED,
            attempts=row["attempts"],
            result=None if replayed is None else decode(replayed),
            error=None,
            tokens=row["tokens"],
            dollars=row["dollars"],
        )
        return replayed

    async def _execute(
        self, request: _Request, attempt: UUID, run: Callable[[], Any], cost: CostOf, effects: Effects
    ) -> Any:
        try:
            result = await called(run)
            text = encode(result, f"the result of the tool call {request.key!r}", self._hold.max_value_bytes)
            spent = _checked(await called(cost, result) if callable(cost) else cost, request.key)
            asked = self._effects(request, await called(effects, result) if callable(effects) else effects)
        except Exception as error:
            await self._end(request.key, attempt, None, describe(error), FREE)
            raise
        await self._end(request.key, attempt, text, None, spent, asked)
        return decode(text)

    def _effects(self, request: _Request, effects: Sequence[NewTask]) -> EffectColumns | None:
        origin = (self._hold.conversation, "tool call", request.key)
        return EffectColumns.of(effects, self._hold.max_value_bytes, *origin) if effects else None

    async def _end(
        self,
        key: str,
        attempt: UUID | None,
        result: str | None,
        error: str | None,
        cost: Cost,
        effects: EffectColumns | None = None,
    ) -> None:
        spent = (cost.tokens, cost.dollars)
        if effects is None:
            await self._hold.write("end_tool_call", key, attempt, result, error, *spent)
        else:
            query = "finish_tool_call_with_effects"
            await self._hold.write(query, key, attempt, result, *spent, *effects.columns)
            await ring(self._hold.statements.db, effects.queues)
        known = self._known.get(key)
        if known is not None:
            self._known[key] = replace(
                known,
                status=CallStatus.FAILED if result is None else CallStatus.FINISHED,
                result=None if result is None else decode(result),
                error=error,
                tokens=cost.tokens,
                dollars=cost.dollars,
            )


def _replay(known: ToolCall, request: _Request) -> Any:
    if known.arguments_hash != request.arguments_hash:
        raise KeyReusedError(f"the tool call {request.key!r} is there with another tool or other arguments")
    return copy.deepcopy(known.result)  # what the caller does to its result must not alter the next replay


def _checked(cost: Cost, key: str) -> Cost:
    return Cost(
        checked_tokens(cost.tokens, f"the tokens of the tool call {key!r}"),
        checked_dollars(cost.dollars, f"the dollars of the tool call {key!r}"),
    )


def _name_of(fn: Callable[..., Any]) -> str:
    if isinstance(fn, functools.partial):
        return _name_of(fn.func)
    return str(getattr(fn, "__name__", type(fn).__name__))
