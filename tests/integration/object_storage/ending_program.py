"""A program that ends while a thread of the driver is still in Python: it is held there for a moment."""

import asyncio
import sys
import threading
import time

from outlive.object_storage.opening import open_store

HELD_S = 0.5


class HoldingLoop(asyncio.SelectorEventLoop):
    """Goes on at once when it is woken, and holds whoever woke it, who keeps asking for the interpreter."""

    def _write_to_self(self) -> None:
        super()._write_to_self()  # type: ignore[misc]
        until = time.monotonic() + HELD_S
        while threading.get_ident() != threading.main_thread().ident and time.monotonic() < until:
            time.sleep(0.001)


async def work(how: str) -> None:
    """Eight calls at once; then the store is closed, left open, or everything is thrown over."""
    store = open_store("memory://")
    await asyncio.gather(*(store.put(f"key/{number}", bytes(1000)) for number in range(8)))
    match how:
        case "closed":
            await store.close()
        case "failed":
            raise SystemExit(7)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=HoldingLoop) as runner:
        runner.run(work(sys.argv[1]))
