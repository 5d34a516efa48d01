"""The worker processes, seen from the coordinator."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from outlive.demo.worker import Orders
from outlive.errors import OutliveError


class Worker:
    """One worker process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.was_killed = False
        self._process = process

    @classmethod
    async def start(cls, name: str, log: Path) -> Self:
        """Start the process, which waits for its orders."""
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "outlive.demo.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C in the terminal reaches the coordinator alone, which cleans up
            )
        return cls(name, process, log)

    async def order(self, orders: Orders) -> None:
        """Give it its orders."""
        assert self._process.stdin is not None
        self._process.stdin.write(orders.encode())
        await self._process.stdin.drain()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def failed(self) -> bool:
        """Whether it ended by itself, and not because its work was done."""
        return not self.was_killed and self._process.returncode not in (None, 0)

    async def kill(self) -> None:
        """End it with SIGKILL: no clean-up, no farewell."""
        if self.alive:
            self.was_killed = True
            self._process.kill()
        await self._process.wait()

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Crew:
    """All workers of a demo. As a context manager it leaves none behind."""

    def __init__(self, directory: Path, orders_for: Callable[[str], Orders]) -> None:
        self.workers: list[Worker] = []
        self._directory = directory
        self._orders_for = orders_for

    async def hire(self, name: str) -> Worker:
        """Start one more worker."""
        worker = await Worker.start(name, self._directory / f"{name}.log")
        self.workers.append(worker)  # from now on it is not left behind: Ctrl-C may come while it gets its orders
        await worker.order(self._orders_for(name))
        return worker

    @property
    def alive(self) -> list[Worker]:
        """The workers that have not ended."""
        return [worker for worker in self.workers if worker.alive]

    def check(self) -> None:
        """Make sure that nobody ended who should not have.

        Raises:
            OutliveError: a worker failed; its last words are in the message.
        """
        for worker in self.workers:
            if worker.failed:
                raise OutliveError(f"{worker.name} ended by itself: {worker.last_words()}", hint=f"Read {worker.log}.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(worker.kill() for worker in self.alive))
