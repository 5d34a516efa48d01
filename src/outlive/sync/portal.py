"""An event loop in a thread of its own, and the way into it for threads that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
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

    def under_way(self, work: Coroutine[Any, Any, T]) -> AbstractContextManager[Future[T]]:
        """`work` on the loop; if the block is left before its end, it is cancelled and waited for."""
        return under_way(work, self.submit)

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


@contextmanager
def under_way(
    work: Coroutine[Any, Any, T], submit: Callable[[Coroutine[Any, Any, Any]], Future[Any]]
) -> Iterator[Future[T]]:
    """`work` on the loop that `submit` begins it on; if the block is left before its end, it is cancelled there and
    waited for."""
    future: Future[T] | None = None
    try:
        future = submit(work)  # an interrupt may come before there is a future
        yield future
    finally:
        if future is None or not future.done():
            with suppress(ConfigurationError, CancelledError, TimeoutError):
                submit(_cancelled(work)).result(CANCEL_S)


async def _cancelled(work: Coroutine[Any, Any, Any]) -> None:
    tasks = [task for task in asyncio.all_tasks() if task.get_coro() is work]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_S)


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
