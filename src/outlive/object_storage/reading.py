"""Reads an object in order, a few ranges of it fetched ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

AHEAD = 4


async def in_order(
    fetch: Callable[[int, int], Awaitable[bytes]], size_bytes: int, chunk_bytes: int
) -> AsyncIterator[bytes]:
    """The bytes of `fetch(start, length)` from 0 to `size_bytes`; at most `AHEAD` chunks are in memory."""
    starts = iter(range(0, size_bytes, chunk_bytes))
    fetching: deque[asyncio.Task[bytes]] = deque()

    def begin() -> None:
        start = next(starts, None)
        if start is not None:
            fetching.append(asyncio.ensure_future(fetch(start, min(chunk_bytes, size_bytes - start))))

    try:
        for _ in range(AHEAD):
            begin()
        while fetching:
            chunk = await fetching.popleft()
            begin()
            yield chunk
    finally:
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)
