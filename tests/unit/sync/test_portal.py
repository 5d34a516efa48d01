"""The way into an event loop for threads that have none."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import pytest

from outlive.errors import ConfigurationError
from outlive.sync import Block, Caller, Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    """A loop."""
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """What interrupts this thread, as Ctrl-C does; the runner of the tests may have chosen to ignore that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


class Slow:
    """Work that does not end by itself, and takes some steps to end once it is cancelled."""

    def __init__(self, begun: Callable[[], object]) -> None:
        self.begun = begun
        self.has_ended = False

    async def run(self) -> None:
        """Begin, and wait for ever."""
        try:
            self.begun()
            await asyncio.Event().wait()
        finally:
            for _ in range(50):
                await asyncio.sleep(0.001)
            self.has_ended = True


async def doubled(number: int) -> int:
    """Something that was done."""
    return number * 2


def test_an_interrupt_cancels_the_work_and_waits_for_its_end(portal: Portal, interrupt: Callable[[], None]) -> None:
    """When the program goes on after Ctrl-C, nothing of the call goes on behind its back; the loop goes on."""
    work = Slow(interrupt)
    with pytest.raises(KeyboardInterrupt):
        portal.call(work.run())
    assert work.has_ended
    assert portal.call(doubled(2)) == 4


def test_an_interrupt_of_a_lent_function_ends_the_work_that_waits_for_it(portal: Portal) -> None:
    """It is raised in the calling thread as it is, and never on the loop, which it would end."""
    caller, ends = Caller(portal), list[str]()

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    async def work(ask: Callable[[], Any]) -> None:
        try:
            await ask()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        caller.call(work(caller.lend(interrupted)))
    assert ends == ["cancelled"]
    assert portal.call(doubled(2)) == 4


@pytest.mark.parametrize("error", [StopIteration("over"), ValueError("no"), asyncio.QueueEmpty(), TimeoutError()])
def test_what_a_lent_function_raises_reaches_the_work(portal: Portal, error: Exception) -> None:
    """Even what a future refuses to carry."""
    caller, seen = Caller(portal), list[BaseException]()

    def failing() -> NoReturn:
        raise error

    async def work(ask: Callable[[], Any]) -> str:
        try:
            await ask()
        except Exception as found:
            seen.append(found)
        return "done"

    assert caller.call(work(caller.lend(failing))) == "done"
    assert seen == [error] or seen[0].__cause__ is error  # a coroutine can't raise StopIteration


def test_lent_functions_run_in_the_calling_thread_under_their_own_names(portal: Portal) -> None:
    """So that what is told by a function's name is the same in both faces; a coroutine function may be lent too."""
    caller = Caller(portal)

    class Tool:
        def __call__(self) -> threading.Thread:
            return threading.current_thread()

    def tool(_: int) -> threading.Thread:
        return threading.current_thread()

    async def work(*asked: Callable[[], Any]) -> list[Any]:
        return [await each() for each in asked]

    lent = [caller.lend(each) for each in (Tool(), partial(tool, 1), partial(doubled, 4))]
    assert caller.call(work(*lent)) == [threading.current_thread()] * 2 + [8]
    assert [lent[0].__name__, lent[1].func.__name__] == ["Tool", "tool"]


def test_an_iterator_that_is_left_early_is_closed(portal: Portal) -> None:
    """By `break`, by an error in the loop's body, and by being forgotten."""
    closed = list[int]()

    async def numbers(start: int) -> AsyncIterator[int]:
        try:
            for number in range(start, 10):
                yield number
        finally:
            closed.append(start)

    assert list(portal.iterate(numbers(8))) == [8, 9]
    for number in portal.iterate(numbers(1)):
        if number == 3:
            break
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is tested
        for number in portal.iterate(numbers(0)):
            1 / number
    rows = portal.iterate(numbers(2))
    next(rows)
    del rows
    gc.collect()
    assert closed == [8, 1, 0, 2]


def test_an_interrupt_within_a_block_cancels_it(portal: Portal) -> None:
    """The block is left, and the loop that it runs on goes on."""
    seen = list[type[BaseException]]()

    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(type(error))
            raise

    with pytest.raises(KeyboardInterrupt), Block(portal, block()):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), Block(portal, block()):
        1 / 0  # noqa: B018
    assert seen == [asyncio.CancelledError, ZeroDivisionError]
    assert portal.call(doubled(2)) == 4


def test_a_call_on_the_loop_itself_is_refused(portal: Portal) -> None:
    """It would wait for itself."""

    async def call() -> None:
        portal.call(doubled(1))

    with pytest.raises(ConfigurationError, match="from its own thread"):
        portal.call(call())


def test_closing_ends_what_is_under_way_and_refuses_what_follows() -> None:
    """A thread that waits is not left waiting."""
    portal, begun = Portal(), threading.Event()
    work = Slow(begun.set)
    future = portal.submit(work.run())
    assert begun.wait(10)
    portal.close()
    portal.close()
    assert work.has_ended
    assert future.cancelled()
    with pytest.raises(ConfigurationError, match="was closed"):
        portal.call(doubled(1))


def test_a_forked_process_is_refused_instead_of_waiting_for_ever(portal: Portal) -> None:
    """The loop's thread is not there; closing it in the child leaves the parent's alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a newer Python, about forks beside threads
        child = os.fork()
    if child == 0:
        try:
            portal.close()
            portal.call(doubled(1))
        except ConfigurationError as error:
            os._exit(0 if "another process" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert portal.call(doubled(2)) == 4
