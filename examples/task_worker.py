"""Tasks with progress, a failure that is tried again, and a mail that is sent once its turn is kept. No API key needed.

python examples/task_worker.py "$OUTLIVE_DSN"
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

import outlive
from outlive.stores import AgentState, Backoff, ClaimedTask, NewTask, migrate

PAGES = 3


async def research(task: ClaimedTask) -> str:
    """Read page after page; the first attempt breaks down on the way, and the second one goes on from there."""
    for page in range(task.progress or 0, PAGES):
        print(f"attempt {task.task.attempts}: page {page + 1} of {task.payload}")
        await task.save_progress(page + 1)
        if task.task.attempts == 1 and page == 1:
            raise ConnectionError("the library is closed for a moment")
    return f"{PAGES} pages about {task.payload}"


async def send(task: ClaimedTask) -> None:
    """Where a mail server would get the text, with the key by which it tells a repetition."""
    print(f"mail {task.key[:8]}: {task.payload}")


async def main(dsn: str) -> None:
    """Do one task, tell of it in a conversation, and send what the turn asks for."""
    run = uuid4().hex[:8]
    async with outlive.connect(dsn) as db:
        await migrate(db)
        state = AgentState(db)
        task = await state.tasks.enqueue(f"research-{run}", "penguins", key="penguins")
        await serve(state, f"research-{run}", research)
        done = await state.tasks.find(task.queue, task.key)
        assert done is not None
        async with await state.conversations.open(f"report-{run}", worker="example") as conversation:
            mail = NewTask(f"mail-{run}", {"subject": done.result})
            await conversation.append("t1", "assistant", done.result, effects=[mail])
        await serve(state, f"mail-{run}", send)


async def serve(state: AgentState, queue: str, handler: Callable[[ClaimedTask], Awaitable[str | None]]) -> None:
    """Work until one task of the queue is done."""
    worker = state.tasks.worker(queue, backoff=Backoff(first_s=0.1))

    async def once(task: ClaimedTask) -> str | None:
        result = await handler(task)
        worker.stop()
        return result

    await worker.run(once)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
