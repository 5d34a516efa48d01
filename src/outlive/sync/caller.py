"""A thread that waits for its call does meanwhile what the call asks of it.

So a function that it gave runs where it was given: it may block, be interrupted, and call the client again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import partial
from inspect import isawaitable
from queue import SimpleQueue
from typing import Any, TypeVar

from outlive.sync.portal import Portal

T = TypeVar("T")

_END: Any = object()


def _plainly(fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return fn(*args, **options)


class Caller:
    """A thread that makes a call and, while it waits for it, does what the work on the loop asks of it."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """As `Portal.call`."""
        with self._portal.under_way(work) as future:
            future.add_done_callback(lambda _: self._asked.put(None))
            while (errand := self._asked.get()) is not None:
                errand()
            return future.result()

    def lend(self, value: Any, call: Callable[..., Any] = _plainly) -> Any:
        """What a caller gave, for the loop: functions are called, and iterators moved on, in the caller's thread.

        `call(function, ...)` is how a function is called.
        """
        if isinstance(value, Iterator):
            return self._drawn(value)
        return lent(value, self._asked.put, call) if callable(value) else value

    async def _drawn(self, rows: Iterator[T]) -> AsyncIterator[T]:
        following = lent(partial(next, rows, _END), self._asked.put)
        while (row := await following()) is not _END:
            yield row


def lent(
    fn: Callable[..., Any],
    hand_over: Callable[[Callable[[], None]], object],
    call: Callable[..., Any] = _plainly,
) -> Callable[..., Awaitable[Any]]:
    """`fn` as the loop may call it: it is handed over to a thread, and what it returns or raises comes back."""
    if isinstance(fn, partial):
        return partial(lent(fn.func, hand_over, call), *fn.args, **fn.keywords)

    async def ask(*args: Any, **options: Any) -> Any:
        answer: Future[_Answer] = Future()
        hand_over(partial(_do, answer, partial(call, fn, *args, **options)))
        found = (await asyncio.wrap_future(answer)).get()
        return await found if isawaitable(found) else found

    # What a call or a key is told by is the same in both faces.
    ask.__name__ = getattr(fn, "__name__", type(fn).__name__)
    ask.__qualname__ = getattr(fn, "__qualname__", type(fn).__qualname__)
    return ask


class _Answer:
    """What a function returned or raised, to be got on the loop; a future would alter some of what can be raised."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self._value, self._error = value, error

    def get(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


def _do(answer: Future[_Answer], work: Callable[[], Any]) -> None:
    """Answer with what `work` returns or raises; what is no `Exception` ends the calling thread's wait instead."""
    if not answer.set_running_or_notify_cancel():
        return
    try:
        found = _Answer(work())
    except Exception as error:
        found = _Answer(error=error)
    answer.set_result(found)
