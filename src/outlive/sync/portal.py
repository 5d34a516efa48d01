"""An event loop in a thread of its own, and the way into it for threads that have none.

A thread that waits for its call does meanwhile what the call asks of it (`Caller`): a function that it gave runs where
it was given, so that it may block, be interrupted, and call the client again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import partial, wraps
from inspect import isawaitable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from outlive.errors import ConfigurationError

T = TypeVar("T")
Inner = TypeVar("Inner")
Opened = TypeVar("Opened", bound=AbstractAsyncContextManager[Any, bool | None])

CLOSE_S = 10.0
"""How long closing waits for what is under way to end, in seconds."""
CANCEL_S = 10.0
"""How long a call whose thread was interrupted waits for its work to end, in seconds."""

_END: Any = object()


class Portal:
    """An event loop in a daemon thread, and the way into it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outlive", daemon=True)
        self._thread.start()

    @property
    def open(self) -> bool:
        """Whether calls can still be made: not once it was closed, nor in a process that was forked from this one."""
        return self._thread.is_alive()

    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the loop.

        Raises:
            ConfigurationError: the client was closed, or is another process's, or this is called on the loop itself,
                which would wait for ever.
        """
        try:
            self._check()
        except ConfigurationError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop and return what it returns.

        An interrupt of the waiting thread cancels the work, and goes on once that has ended.
        """
        with self.under_way(work) as future:
            return future.result()

    @contextmanager
    def under_way(self, work: Coroutine[Any, Any, T]) -> Iterator[Future[T]]:
        """`work` on the loop; if the block is left before its end, it is cancelled and waited for."""
        future: Future[T] | None = None
        try:
            future = self.submit(work)  # an interrupt may come before there is a future
            yield future
        finally:
            if future is None or not future.done():
                self._cancel(work)

    def iterate(self, rows: AsyncIterator[T]) -> Generator[T, None, None]:
        """What an asynchronous iterator gives; it is closed when this one is left early."""

        async def following() -> T:
            return await anext(rows, _END)

        while (row := self.call(following())) is not _END:
            try:
                yield row
            except BaseException:
                if isinstance(rows, AsyncGenerator) and self.open and not self.is_here():
                    self.call(_closed(rows))  # in the other two cases, the loop closes it
                raise

    def leave(
        self,
        block: AbstractAsyncContextManager[Any, bool | None],
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Leave an asynchronous block; whether the error is dealt with.

        An interrupt of the calling thread is a cancellation to it: raised on the loop, it would end the loop.
        """
        if error is None or isinstance(error, Exception):
            return bool(self.call(_left(block, kind, error, traceback)))
        cancelled = asyncio.CancelledError()
        with suppress(CancelledError):
            self.call(_left(block, type(cancelled), cancelled, traceback))
        return False

    def close(self) -> None:
        """End what is under way, the loop and its thread; may be called twice."""
        if self.open:
            with suppress(TimeoutError):
                self.submit(_end_all()).result(CLOSE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_S)
            if not self._thread.is_alive():
                self._loop.close()

    def _check(self) -> None:
        if self.is_here():
            hint = "What runs on the client's thread, such as a callback, hands it to another one."
            raise ConfigurationError("the synchronous client can't be called from its own thread", hint=hint)
        if self._loop.is_closed():
            raise ConfigurationError("the synchronous client was closed", hint="Use it inside its `with` block.")
        if not self.open:
            hint = "A process that forks makes a client of its own in each child."
            raise ConfigurationError("the synchronous client is another process's", hint=hint)

    def _cancel(self, work: Coroutine[Any, Any, Any]) -> None:
        async def cancel() -> None:
            tasks = [task for task in asyncio.all_tasks() if task.get_coro() is work]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=CANCEL_S)

        with suppress(ConfigurationError, CancelledError, TimeoutError):
            self.submit(cancel()).result(CANCEL_S)


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

    def lend(self, value: Any) -> Any:
        """What a caller gave, for the loop: functions are called, and iterators moved on, in the caller's thread."""
        if isinstance(value, Iterator):
            return self._drawn(value)
        return lent(value, self._asked.put) if callable(value) else value

    async def _drawn(self, rows: Iterator[T]) -> AsyncIterator[T]:
        following = lent(partial(next, rows, _END), self._asked.put)
        while (row := await following()) is not _END:
            yield row


def lent(fn: Callable[..., Any], hand_over: Callable[[Callable[[], None]], object]) -> Callable[..., Awaitable[Any]]:
    """`fn` as the loop may call it: it is handed over to a thread, and what it returns or raises comes back."""
    if isinstance(fn, partial):
        return partial(lent(fn.func, hand_over), *fn.args, **fn.keywords)

    @wraps(fn)
    async def ask(*args: Any, **options: Any) -> Any:
        answer: Future[_Answer] = Future()
        hand_over(partial(_do, answer, partial(fn, *args, **options)))
        found = (await asyncio.wrap_future(answer)).get()
        return await found if isawaitable(found) else found

    # What a call is told by is the same in both faces.
    ask.__name__ = getattr(fn, "__name__", type(fn).__name__)
    return ask


class Face(Generic[Inner]):
    """The synchronous face of something asynchronous: see `faces.py`."""

    def __init__(self, portal: Portal, inner: Inner) -> None:
        self._portal, self._inner = portal, inner

    @property
    def asynchronous(self) -> Inner:
        """What it is the face of, for what runs on the client's own loop."""
        return self._inner


class Block(Face[Opened]):
    """The face of what is entered with `async with`, and is with `with`."""

    def __enter__(self) -> Self:
        self._portal.call(_entered(self._inner))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal.leave(self._inner, kind, error, traceback)


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


async def _entered(block: AbstractAsyncContextManager[Any, bool | None]) -> None:
    await block.__aenter__()


async def _left(
    block: AbstractAsyncContextManager[Any, bool | None],
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> bool | None:
    return await block.__aexit__(kind, error, traceback)


async def _closed(rows: AsyncGenerator[Any, None]) -> None:
    await rows.aclose()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=CLOSE_S / 2)
    await asyncio.get_running_loop().shutdown_asyncgens()
