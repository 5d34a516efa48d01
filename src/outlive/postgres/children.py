"""Runs one of PostgreSQL's programs and takes what it writes as a stream, bounded in memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from io import BufferedReader

PIPE_BYTES = 1024 * 1024
READ_BYTES = 4 * 1024 * 1024
ERROR_LINE_BYTES = 1024 * 1024
ERROR_LINES = 20
STOP_LIMIT_S = 5.0
_F_SETPIPE_SZ = 1031


class Child:
    """A program whose output is read by `chunks`; to be used as a context, which ends it whatever happens.

    It is a process group of its own: Ctrl-C reaches this process alone, which ends the other one in order.

    Its output is read by a thread, straight into what is handed on: the event loop's own reader copies each byte three
    times and wakes up for each write. `descriptors` stay open in it, under the same numbers.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int] = ()) -> None:
        self._command = command
        self._environment = environment
        self._descriptors = descriptors
        self._process: asyncio.subprocess.Process | None = None
        self._output: BufferedReader | None = None
        self._errors: deque[str] = deque(maxlen=ERROR_LINES)
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Child:
        self._output, inlet = _pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=inlet, stderr=asyncio.subprocess.PIPE,
                env=dict(self._environment), limit=ERROR_LINE_BYTES, start_new_session=True,
                pass_fds=self._descriptors,
            )  # fmt: skip
        except BaseException:
            self._output.close()
            raise
        finally:
            os.close(inlet)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        for which in (signal.SIGTERM, signal.SIGKILL):
            if self._running.returncode is None:
                self._signal(which)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained(), STOP_LIMIT_S)
                self._reading.close()
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

    async def chunks(self, size_bytes: int = READ_BYTES) -> AsyncIterator[bytes]:
        """What it writes to stdout until it closes that, in pieces of this size; only the last one is smaller."""
        while chunk := await asyncio.to_thread(self._reading.read, size_bytes):
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

    @property
    def _reading(self) -> BufferedReader:
        assert self._output is not None
        return self._output

    async def _listen(self) -> None:
        source = self._running.stderr
        assert source is not None
        while line := await source.readline():
            self._errors.append(line.decode(errors="replace").rstrip())

    async def _drained(self) -> None:
        """Its end, with what it still had to say thrown away: a pipe that nobody reads has no end."""
        while await asyncio.to_thread(self._reading.read, READ_BYTES):
            pass
        await self._running.wait()

    def _signal(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, which)


def _pipe() -> tuple[BufferedReader, int]:
    """A pipe's two ends, with more room than 64 kB where the kernel allows it: fewer wake-ups."""
    outlet, inlet = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(outlet, _F_SETPIPE_SZ, PIPE_BYTES)
    return os.fdopen(outlet, "rb"), inlet
