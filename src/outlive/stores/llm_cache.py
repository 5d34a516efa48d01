"""Answers of language models, each paid for once while it is fresh, by whichever process asks first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from outlive import system
from outlive.errors import OutliveError, UnstorableError
from outlive.model.deadline import Deadline
from outlive.stores.ages import checked_age
from outlive.stores.calling import called
from outlive.stores.conversations import checked_lease
from outlive.stores.encoding import checked_name, decode, digest, encode
from outlive.stores.failures import PASSING
from outlive.stores.plan.canonical import canonical
from outlive.stores.queries import queries
from outlive.stores.records import FREE, Cost
from outlive.stores.shared import new_attempt
from outlive.stores.statements import Statements
from outlive.stores.turns import checked_dollars, checked_tokens

CACHE_TIMEOUT_S = 5.0
"""How long one statement of the cache is retried before it is done without, in seconds."""
MAX_ANSWER_BYTES = 1024 * 1024
"""The most bytes of JSON that an answer may have to be kept."""
TTL = timedelta(hours=24)
LEASE_S = 30.0
"""How long the others wait for a process that gives no sign of life, in seconds."""
WAIT_S = 300.0
"""How long a process waits for another's answer before it computes its own, in seconds."""
EVICTION_BATCH = 500
"""How many rows one transaction of `evict` deletes."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.02, 0.5
_RENEWALS_A_LEASE = 3
_LEAVE_TIMEOUT_S = 2.0

_log = logging.getLogger("outlive.stores")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with; `hit` if it was there, and so cost nothing now.

    `tokens` and `dollars` are what it took when it was computed. `kept` says whether it can be found again: not if it
    is too large, or the cache was out of reach.
    """

    value: Any
    tokens: int
    dollars: Decimal
    hit: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class _Request:
    model: str
    key: bytes
    flight: UUID
    lease_s: float
    subject: str | None


class LlmCache:
    """The cache of one database. `state.llm_cache` is one of these."""

    wait_s = WAIT_S

    def __init__(self, statements: Statements, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._statements = statements
        self._max_bytes = max_answer_bytes
        # Tasks of one process wait for each other here, and ask the database once.
        self._asking: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def get_or_compute(
        self,
        model: str,
        prompt: Any,
        parameters: Mapping[str, Any],
        fn: Callable[[], Awaitable[Any] | Any],
        *,
        ttl: timedelta = TTL,
        cost: Cost | Callable[[Any], Cost] = FREE,
        lease_s: float = LEASE_S,
        subject: str | None = None,
    ) -> Answer:
        """The answer to a request that was asked before, else that of `fn()`, which is kept for `ttl`.

        Of all processes that miss it at once one calls `fn`, the others wait for its answer; if it dies, another one
        goes on once it has given no sign of life for `lease_s` seconds. An exception of `fn` is for its caller alone.
        Where the database is out of reach, `fn` is called without it. `cost` is what the answer took, or says so of it.
        `subject` is the person that the request is about: the answer is erased with them.

        Raises:
            UnstorableError: the request is no value of JSON. An answer that is none is returned, and not kept.
            ConfigurationError: `ttl` or `lease_s` makes no sense.
        """
        checked_age("ttl", ttl)
        key = self._key(model, prompt, parameters)
        request = _Request(model, key, new_attempt(), checked_lease(lease_s), _subject(subject))
        async with self._asking.setdefault(key, asyncio.Lock()):
            try:
                known = await self._wait(request)
            except PASSING as error:
                _log.warning("the cache of answers is out of reach, asking without it: %s", error)
                value, spent = await _computed(fn, cost)
                return _answer(value, spent, kept=False)
            return known or await self._fly(request, fn, ttl, cost)

    async def find(self, model: str, prompt: Any, parameters: Mapping[str, Any]) -> Answer | None:
        """The answer to a request, if it is there and fresh."""
        row = await self._look(self._key(model, prompt, parameters))
        return _hit(row)

    async def forget(self, model: str, prompt: Any, parameters: Mapping[str, Any]) -> bool:
        """Delete the answer to a request; whether it was there."""
        key = self._key(model, prompt, parameters)
        return bool((await self._statements.write(queries("llm_cache")["forget"], key))["forgotten"])

    async def evict(self, *, batch: int = EVICTION_BATCH) -> int:
        """Delete what has expired, `batch` rows in each transaction; returns how many."""
        total, evicted = 0, batch
        while evicted == batch:
            evicted = (await self._statements.write(queries("llm_cache")["evict"], batch))["evicted"]
            total += evicted
        return total

    async def _wait(self, request: _Request) -> Answer | None:
        """The answer once it is there; None once it is this process's turn to compute it."""
        deadline, pause_s = Deadline.after(self.wait_s, system.monotonic()), _FIRST_POLL_S
        while not deadline.expired(system.monotonic()):
            row = await self._look(request.key)
            if (known := _hit(row)) is not None:
                return known
            if not (row is not None and row["in_flight"]) and await self._board(request):
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_POLL_S)
        return None

    async def _fly(
        self, request: _Request, fn: Callable[[], Any], ttl: timedelta, cost: Cost | Callable[[Any], Cost]
    ) -> Answer:
        try:
            async with self._aloft(request):
                value, spent = await _computed(fn, cost)
        except BaseException:
            await self._leave(request)
            raise
        try:
            text = encode(value, "the answer", self._max_bytes)
            await self._statements.write(
                queries("llm_cache")["land"], request.key, request.model, text, spent.tokens, spent.dollars,
                ttl.total_seconds(), request.subject,
            )  # fmt: skip
        except (*PASSING, UnstorableError) as error:
            _log.warning("an answer of %s is not kept: %s", request.model, error)
            await self._leave(request)
            return _answer(value, spent, kept=False)
        return _answer(decode(text), spent, kept=True)

    @asynccontextmanager
    async def _aloft(self, request: _Request) -> AsyncIterator[None]:
        renewal = asyncio.create_task(self._renew_for_ever(request), name=f"outlive answer of {request.model}")
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)

    async def _renew_for_ever(self, request: _Request) -> None:
        while True:
            await asyncio.sleep(request.lease_s / _RENEWALS_A_LEASE)
            with suppress(OutliveError):  # whoever takes the flight over meanwhile does no harm
                sql = queries("llm_cache")["renew"]
                await self._statements.write(sql, request.key, request.flight, request.lease_s)

    async def _look(self, key: bytes) -> Mapping[str, Any] | None:
        return await self._statements.read(queries("llm_cache")["look"], key)

    async def _board(self, request: _Request) -> bool:
        arguments = (request.key, request.model, request.flight, request.lease_s)
        return bool((await self._statements.write(queries("llm_cache")["board"], *arguments))["mine"])

    async def _leave(self, request: _Request) -> None:
        with suppress(OutliveError, TimeoutError):
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._statements.write(queries("llm_cache")["leave"], request.key, request.flight)

    def _key(self, model: str, prompt: Any, parameters: Mapping[str, Any]) -> bytes:
        checked_name(model, "a model's name")
        encode([prompt, dict(parameters)], f"the request to {model!r}")
        return digest(canonical(model, prompt, dict(parameters)))


def _subject(subject: str | None) -> str | None:
    return None if subject is None else checked_name(subject, "a subject")


async def _computed(fn: Callable[[], Any], cost: Cost | Callable[[Any], Cost]) -> tuple[Any, Cost]:
    value = await called(fn)
    spent = await called(cost, value) if callable(cost) else cost
    tokens = checked_tokens(spent.tokens, "the tokens of the answer")
    return value, Cost(tokens, checked_dollars(spent.dollars, "the dollars of the answer"))


def _answer(value: Any, spent: Cost, *, kept: bool) -> Answer:
    return Answer(value, spent.tokens, spent.dollars, hit=False, kept=kept)


def _hit(row: Mapping[str, Any] | None) -> Answer | None:
    if row is None or row["value"] is None:
        return None
    return Answer(decode(row["value"]), row["tokens"], row["dollars"], hit=True, kept=True)
