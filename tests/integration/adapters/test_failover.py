"""What a framework's users see when the node of the primary is killed: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from dbos import DBOS, DBOSConfig

import outlive
import outlive.sync
from conditions import eventually
from conformance.openai_session import items, texts
from conformance.session_service import said
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.adapters.google_adk import OutliveSessionService
from outlive.adapters.openai_agents import OutliveSession
from outlive.adapters.sqlalchemy import create_engine
from outlive.stores import AgentState, migrate
from outlive.stores.sync import SyncAgentState

STEPS = 300
_bought: Counter[int] = Counter()


@DBOS.step()
def buy(step: int) -> int:
    """A step that counts how often it is done."""
    _bought[step] += 1
    return step


@DBOS.workflow()
def journey(steps: int) -> list[int]:
    """Steps one after the other."""
    return [buy(step) for step in range(steps)]


@contextmanager
def launched(dsn: str) -> Iterator[None]:
    """DBOS on an engine that follows the primary."""
    with outlive.sync.connect(dsn) as db:
        engine = create_engine(db, pool_pre_ping=True)
        config: DBOSConfig = {"name": "outlive-test", "system_database_engine": engine, "log_level": "ERROR"}
        DBOS(config=config)
        DBOS.launch()
        try:
            yield
        finally:
            DBOS.destroy()
            engine.dispose()


async def _writing(write: Callable[[str], Awaitable[object]], acknowledged: list[str], stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        await write(str(number))
        acknowledged.append(str(number))
        number += 1


async def test_frameworks_ride_out_a_failover(whole_cluster: RunningCluster) -> None:
    """No call raises; each acknowledged item, event and turn is there once, in order, and nothing else.

    Nor does one of a program without asyncio.
    """
    with outlive.sync.connect(whole_cluster.dsn) as program:
        await _ride_out(whole_cluster, SyncAgentState(program))


async def _ride_out(whole_cluster: RunningCluster, program: SyncAgentState) -> None:
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        held = await asyncio.to_thread(program.conversations.open, "failover-threads", worker="bob")
        state, stop = AgentState(db), asyncio.Event()
        session = OutliveSession(state, "failover-session")
        service = OutliveSessionService(state)
        chat = await service.create_session(app_name="failover", user_id="u", session_id="s")
        conversation = await state.conversations.open("failover-raw", worker="alice")
        writes: dict[str, Callable[[str], Awaitable[object]]] = {
            "openai": lambda text: session.add_items(items(text)),
            "adk": lambda text: service.append_event(chat, said(text, last=text)),
            "raw": lambda text: conversation.tool_call(text, lambda: text),
            "threads": lambda text: asyncio.to_thread(held.tool_call, text, lambda: text),
        }
        acknowledged: dict[str, list[str]] = {name: [] for name in writes}
        timeline = (await db.wait_primary()).timeline
        async with asyncio.TaskGroup() as group:
            for name, write in writes.items():
                group.create_task(_writing(write, acknowledged[name], stop))
            await until(lambda: all(len(done) > 20 for done in acknowledged.values()))
            whole_cluster.local.kill_node(await whole_cluster.local.primary())
            await until(lambda: any(node.timeline > timeline for node in db.topology.nodes), 120)
            reached = {name: len(done) + 20 for name, done in acknowledged.items()}
            await until(lambda: all(len(acknowledged[name]) > least for name, least in reached.items()), 120)
            stop.set()
        kept = await service.get_session(app_name="failover", user_id="u", session_id="s")
        assert kept is not None
        assert texts(await session.get_items()) == acknowledged["openai"]
        assert [event.id for event in kept.events] == [event.id for event in chat.events]
        assert kept.state == {"last": acknowledged["adk"][-1]}
        for name in ("raw", "threads"):
            calls = (await state.conversations.load(f"failover-{name}")).tool_calls
            assert {call.key: call.result for call in calls} == {key: key for key in acknowledged[name]}
        await conversation.release()


def test_a_dbos_workflow_goes_on(whole_cluster: RunningCluster) -> None:
    """A workflow whose system database loses its primary ends with every step done once."""
    _bought.clear()
    with launched(whole_cluster.dsn):
        handle = DBOS.start_workflow(journey, STEPS)
        eventually(lambda: len(_bought) > 20)
        whole_cluster.local.kill_node(asyncio.run(whole_cluster.local.primary()))
        assert handle.get_result() == list(range(STEPS))
    assert set(_bought.values()) == {1}
