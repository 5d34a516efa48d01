"""Synchronous calls of the saver and the store, from a thread beside the client's event loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import outlive
from outlive.adapters.langgraph.faces import Face
from outlive.errors import ConfigurationError
from outlive.sync import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    """A loop in a thread."""
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture
def face(portal: Portal) -> Face:
    """The way to a client of that loop, which is not used."""

    async def made() -> Face:
        return Face(outlive.connect("postgresql://app@127.0.0.1:1/agents"))

    return portal.call(made())


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """What interrupts this thread, as Ctrl-C does; the runner of the tests may have chosen to ignore that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


async def doubled(number: int) -> int:
    """Something that was done."""
    return number * 2


def test_an_interrupt_cancels_the_work_and_waits_for_its_end(face: Face, interrupt: Callable[[], None]) -> None:
    """When the program goes on after Ctrl-C, no checkpoint is put behind its back; the loop goes on."""
    ends = list[str]()

    async def work() -> None:
        try:
            interrupt()
            await asyncio.Event().wait()
        finally:
            for _ in range(50):
                await asyncio.sleep(0.001)
            ends.append("ended")

    with pytest.raises(KeyboardInterrupt):
        face.wait(work())
    assert ends == ["ended"]
    assert face.wait(doubled(2)) == 4


def test_a_call_on_the_loop_itself_is_refused(portal: Portal, face: Face) -> None:
    """It would wait for itself."""

    async def call() -> int:
        return face.wait(doubled(1))

    with pytest.raises(ConfigurationError, match="another thread"):
        portal.call(call())


def test_a_call_after_the_loop_is_refused(portal: Portal, face: Face) -> None:
    """Nobody would do it."""
    portal.close()
    with pytest.raises(ConfigurationError, match="another thread"):
        face.wait(doubled(1))
