"""Runs one of PostgreSQL's programs and takes what it writes as a stream, bounded in memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

PIPE_BYTES = 1024 * 1024
READ_BYTES = 1024 * 1024
ERROR_LINES = 20
STOP_LIMIT_S = 5.0
_F_SETPIPE_SZ = 1031


class Child:
    """A program whose output is read by `chunks`; to be used as a context, which ends it whatever happens.

    It is a process group of its own: Ctrl-C reaches this process alone, which ends the other one in order.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._errors: deque[str] = deque(maxlen=ERROR_LINES)
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=dict(self._environment), limit=PIPE_BYTES, start_new_session=True,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        for which in (signal.SIGTERM, signal.SIGKILL):
            if self._running.returncode is None:
                self._signal(which)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained(), STOP_LIMIT_S)
                break
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running.pid

    @property
    def errors(self) -> str:
        """The last lines that it wrote to stderr."""
        return "\n".join(self._errors)

    async def chunks(self) -> AsyncIterator[bytes]:
        """What it writes to stdout, until it closes that."""
        output = self._running.stdout
        assert output is not None
        _widen(output)
        while chunk := await output.read(READ_BYTES):
            yield chunk

    async def ended(self) -> int:
        """Its exit status, once it has one; everything that it wrote to stderr is known then."""
        status = await self._running.wait()
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=STOP_LIMIT_S)
        return status

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _listen(self) -> None:
        source = self._running.stderr
        assert source is not None
        while line := await source.readline():
            self._errors.append(line.decode(errors="replace").rstrip())

    async def _drained(self) -> None:
        """Its end, with what it still had to say thrown away: a pipe that nobody reads has no end."""
        output = self._running.stdout
        assert output is not None
        while await output.read(READ_BYTES):
            pass
        await self._running.wait()

    def _signal(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, which)


def _widen(output: asyncio.StreamReader) -> None:
    """Give the pipe more room than its 64 kB, where the kernel allows it: fewer wake-ups."""
    transport = getattr(output, "_transport", None)
    pipe = transport.get_extra_info("pipe") if transport is not None else None
    if pipe is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, PIPE_BYTES)
