"""One code for both faces: what is asked for runs on the client's event loop, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from outlive.client.cluster import Cluster
from outlive.errors import ConfigurationError
from outlive.sync import Portal, SyncCluster, under_way

T = TypeVar("T")


class Face:
    """The way to the loop of a client, asynchronous or not."""

    def __init__(self, db: Cluster | SyncCluster) -> None:
        self._portal: Portal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        if isinstance(db, SyncCluster):
            self.cluster, self._portal = db.asynchronous, db.portal
        else:
            self.cluster = db
            self._loop = _running_loop()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the client's loop, and wait for it on this one."""
        if self._portal is not None and not self._portal.is_here():
            return await asyncio.wrap_future(self._portal.submit(work))
        return await work

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the client's loop, and wait for it in this thread.

        An interrupt of the waiting thread cancels the work, and goes on once that has ended.

        Raises:
            ConfigurationError: this is the loop's own thread, which would wait for ever, or the loop was closed.
        """
        with under_way(work, self._submit if self._portal is None else self._portal.submit) as future:
            return future.result()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop is None or self._loop.is_closed() or _running_loop() is self._loop:
            work.close()
            raise ConfigurationError(
                "a synchronous call needs the event loop of the client, in another thread",
                hint="Use the asynchronous methods (`ainvoke`), or give it a client of `outlive.sync`.",
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
