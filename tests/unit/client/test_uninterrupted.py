"""A driver call that a cancelled task does not disturb."""

from __future__ import annotations

import asyncio

import pytest

from outlive.client.uninterrupted import uninterrupted


class Call:
    """A driver call under way, and what became of its task's cancellation."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.interruptions = 0
        self.task = asyncio.create_task(uninterrupted(self._wait(), self._interrupt))

    async def _wait(self) -> str:
        return await self.answer

    def _interrupt(self) -> None:
        self.interruptions += 1


async def test_the_answer_comes_through() -> None:
    """Without a cancellation it is an ordinary call."""
    call = Call()
    await asyncio.sleep(0)
    call.answer.set_result("COMMIT")
    assert (await call.task, call.interruptions) == ("COMMIT", 0)


async def test_an_error_comes_through() -> None:
    """The driver's exception is raised."""
    call = Call()
    await asyncio.sleep(0)
    call.answer.set_exception(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await call.task


async def test_a_cancelled_task_waits_for_the_answer() -> None:
    """What the driver waits for is not cancelled, however often the task is."""
    call = Call()
    for _ in range(3):
        await asyncio.sleep(0)
        call.task.cancel()
    await asyncio.sleep(0)
    assert not call.answer.cancelled()
    call.answer.set_result("COMMIT")
    assert (await call.task, call.interruptions > 0) == ("COMMIT", True)


async def test_a_cancellation_beside_the_answer_is_not_lost() -> None:
    """Cancelled in the very step in which the answer came, the call returns and tells of it."""
    call = Call()
    await asyncio.sleep(0)
    call.answer.set_result("COMMIT")
    call.task.cancel()
    assert (await call.task, call.interruptions) == ("COMMIT", 1)


async def test_a_driver_that_gives_up_by_itself_is_no_interruption() -> None:
    """A future that the driver cancelled raises as it would without us."""
    call = Call()
    await asyncio.sleep(0)
    call.answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert call.interruptions == 0
