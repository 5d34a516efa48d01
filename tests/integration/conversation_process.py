"""A process that the tests kill: it goes on with conversations or a session, and writes down what was acknowledged.

    python conversation_process.py DSN RUN LEDGER raw|session LEASE_S

Each line of the ledger is `nanoseconds what conversation step`; the clock is one for all processes of the machine. A
line of what was finished or kept is written once that is acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import outlive
from conformance.openai_session import items
from outlive.adapters.openai_agents import OutliveSession
from outlive.stores import AgentState, Conversation

STEPS = 40
CONVERSATIONS = 12
AT_ONCE = 4

What = Literal["ran", "finished", "kept"]


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """What happened in a conversation, and when: a tool was run, its result or a turn was acknowledged."""

    at_ns: int
    what: What
    conversation: str
    step: int


def read(ledger: Path) -> list[Line]:
    """The lines of a ledger; the last one may be cut short."""
    whole = [line.split() for line in ledger.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [Line(int(at), what, name, int(step)) for at, what, name, step in whole]  # type: ignore[arg-type]


class Ledger:
    """A file that outlives its writer: each line is in the kernel's hands once it is noted."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def note(self, what: What, conversation: str, step: int) -> None:
        """Write a line, as of now."""
        self._file.write(f"{time.monotonic_ns()} {what} {conversation} {step}\n")


async def live(conversation: Conversation, ledger: Ledger) -> None:
    """Use a tool and append what it gave, step by step, from wherever the conversation is."""

    def tool(step: int) -> int:
        ledger.note("ran", conversation.id, step)
        return step

    for step in range(len(conversation.turns), STEPS):
        result = await conversation.tool_call(f"call-{step}", tool, step)
        ledger.note("finished", conversation.id, step)
        await conversation.append(f"turn-{step}", "tool", result)
        ledger.note("kept", conversation.id, step)
    await conversation.complete()


async def raw(db: outlive.Cluster, run: str, ledger: Ledger, lease_s: float) -> None:
    """Claim conversations of the run, several at once, until all are complete."""
    names = [f"{run}/{number}" for number in range(CONVERSATIONS)]
    conversations = AgentState(db).conversations

    async def serve(worker: str) -> None:
        while await conversations.count_open(names):
            held = await conversations.claim(names, worker=worker, lease_s=lease_s)
            if held is None:
                await asyncio.sleep(0.1)
            else:
                # Where the process was stopped for longer than its leases, another of its tasks may have it.
                with suppress(outlive.LeaseLostError):
                    await live(held, ledger)

    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(serve(f"{ledger}-{number}-{time.monotonic_ns()}"))


async def session(db: outlive.Cluster, run: str, ledger: Ledger) -> None:
    """Add items to a session of the OpenAI Agents SDK, from wherever it is."""
    kept = OutliveSession(db, run)
    for step in range(len(await kept.get_items()), STEPS * CONVERSATIONS):
        await kept.add_items(items(str(step)))
        ledger.note("kept", run, step)


async def main(dsn: str, run: str, ledger: Path, kind: str, lease_s: float) -> None:
    """Do one of them until it is done, or until killed."""
    async with outlive.connect(dsn) as db:
        if kind == "raw":
            await raw(db, run, Ledger(ledger), lease_s)
        else:
            await session(db, run, Ledger(ledger))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], float(sys.argv[5])))
