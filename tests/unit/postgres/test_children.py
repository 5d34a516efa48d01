"""A program whose output is read as a stream."""

import asyncio
import os
import sys

from outlive.backup.taking.flow import piece_bytes
from outlive.postgres.children import READ_BYTES, Child

WRITES = "import os\nfor _ in range(1000): os.write(1, bytes(3001))"
WRITES_ON = "import os\nwhile True: os.write(1, bytes(3001))"


def child(program: str) -> Child:
    """Python, running this."""
    return Child([sys.executable, "-c", program], os.environ)


async def test_pieces() -> None:
    """However it writes, what comes is of the size that was asked for, and all of it comes."""
    async with child(WRITES) as running:
        sizes = [len(chunk) async for chunk in running.chunks(1_000_000)]
        assert await running.ended() == 0
    assert sizes == [1_000_000, 1_000_000, 1_000_000, 1_000]


async def test_left_early() -> None:
    """Who stops reading ends the program, even one that would write for ever."""
    async with child(WRITES_ON) as running:
        async for chunk in running.chunks(64):
            assert len(chunk) == 64
            break
    assert await running.ended() < 0


async def test_cancelled_while_it_reads() -> None:
    """A caller that is cancelled while nothing comes ends the program too."""
    async with child("import time; time.sleep(600)") as running:
        reading = asyncio.ensure_future(anext(running.chunks()))
        done, _ = await asyncio.wait([reading], timeout=0.05)
        reading.cancel()
        assert not done
    assert await running.ended() < 0


def test_small_pieces_for_a_slow_reader() -> None:
    """Below a rate the pieces become so small that the server is never kept waiting for seconds."""
    assert piece_bytes(None) == READ_BYTES
    assert piece_bytes(1024 * 1024) <= 1024 * 1024 / 4
    assert 0 < piece_bytes(1.0) < READ_BYTES
