"""A worker process: `python -m outlive.demo.worker`, its orders on stdin.

The orders are one line of JSON; a password in them is on no command line. Stdin stays open as long as the
coordinator lives: its end is the end of the worker, so that a killed coordinator leaves no worker behind.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import outlive
from outlive.client.options import DegradedName
from outlive.demo.agent import Agent
from outlive.demo.ledger import Ledger
from outlive.demo.llm import SimulatedLlm
from outlive.demo.transcripts import read_transcripts
from outlive.errors import ConfigurationError, OutliveError
from outlive.stores import AgentState

MAX_ORDERS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told."""

    name: str
    dsn: str
    transcripts: str
    ledger: str
    agents: int
    seed: int
    llm_latency_s: float
    tool_latency_s: float
    lease_s: float
    degraded: DegradedName

    def encode(self) -> bytes:
        """The orders as the line that a worker reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """The orders of one line.

        Raises:
            ConfigurationError: they are not orders.
        """
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            raise ConfigurationError(
                "a worker takes its orders from the demo", hint="Run `outlive demo`; it starts its workers itself."
            ) from None


async def work(orders: Orders) -> None:
    """Let the agents live until every conversation is complete."""
    scripts = {script.conversation: script for script in read_transcripts(Path(orders.transcripts))}
    with Ledger(Path(orders.ledger)) as ledger:
        async with outlive.connect(orders.dsn, pool_size=2 * orders.agents, degraded=orders.degraded) as db:
            llm = SimulatedLlm(orders.seed, orders.llm_latency_s, ledger)
            async with asyncio.TaskGroup() as agents:
                for number in range(1, orders.agents + 1):
                    agent = Agent(
                        name=f"{orders.name}/agent-{number}",
                        state=AgentState(db),
                        scripts=scripts,
                        llm=llm,
                        ledger=ledger,
                        lease_s=orders.lease_s,
                        tool_latency_s=orders.tool_latency_s,
                    )
                    agents.create_task(agent.work(), name=agent.name)


async def obey() -> None:
    """Read the orders, and work until the work or the coordinator ends."""
    reader = asyncio.StreamReader(limit=MAX_ORDERS_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    working = asyncio.create_task(work(Orders.decode(await reader.readline())))
    coordinator_gone = asyncio.create_task(reader.read())
    await asyncio.wait({working, coordinator_gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, coordinator_gone):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await working


def main() -> None:
    """Run as a process of its own. Ctrl-C is the coordinator's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(obey())
    except* OutliveError as errors:
        sys.exit("\n".join(f"{type(error).__name__}: {error}" for error in errors.exceptions))


if __name__ == "__main__":
    main()
