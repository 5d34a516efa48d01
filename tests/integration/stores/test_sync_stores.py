"""The stores without asyncio, on a real cluster."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn
from uuid import uuid4

import pytest

import outlive
import outlive.sync
from conditions import eventually
from integration.llm_process import patient
from outlive.errors import ConfigurationError, InterruptedCallError, KeyReusedError, LeaseLostError
from outlive.model.outcome import Outcome
from outlive.stores import AgentState, BufferCounts, CallStatus, Cost, NewTask, TaskStatus
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.graphs import Place
from outlive.stores.histories import Entry, History
from outlive.stores.items import Put
from outlive.stores.records import NewTurn
from outlive.stores.sync import SyncAgentState, SyncClaimedTask, SyncConversation, SyncLlmCache, migrate


@pytest.fixture
def state(database: str) -> Iterator[SyncAgentState]:
    """The stores, without asyncio."""
    with outlive.sync.connect(database) as db:
        yield SyncAgentState(db)


@pytest.fixture
def conversation(state: SyncAgentState) -> Iterator[SyncConversation]:
    """A conversation that nobody else has."""
    with state.conversations.open(f"c-{uuid4()}", worker="w") as conversation:
        yield conversation


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """What interrupts this thread, as Ctrl-C does; the runner of the tests may have chosen to ignore that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_program_keeps_a_conversation(state: SyncAgentState, conversation: SyncConversation) -> None:
    """From its first turn over forks and copies to its end."""
    conversation.append("t1", "user", "Berlin")
    with conversation.keep_alive() as same:
        assert same.tool_call("k", lambda city: [city], "BER", cost=lambda found: Cost(len(found))) == ["BER"]
    assert conversation.checkpoint({"step": 1}).version == 1
    assert conversation.renew() > datetime.now(UTC)
    assert [turn.content for turn in conversation.turns] == ["Berlin"]
    assert conversation.tool_calls["k"].tokens == 1
    copy, imported = f"{conversation.id}-fork", f"{conversation.id}-import"
    assert state.conversations.fork(conversation.id, copy) == 1
    lines = (line.replace(conversation.id, imported) for line in state.conversations.export(conversation.id))
    assert state.conversations.import_(lines).imported == 1
    assert state.conversations.load(imported).turns[0].content == "Berlin"
    assert state.conversations.set_metadata(copy, {"about": copy}) == {"about": copy}
    assert [each.id for each in state.conversations.search({"about": copy}).conversations] == [copy]
    taken = state.conversations.claim((each for each in [copy]), worker="w")
    assert taken is not None
    taken.complete()
    assert state.conversations.erase(copy, imported).rows["conversations"] == 2


def test_a_program_keeps_everything_else(state: SyncAgentState) -> None:
    """Each of the other stores takes something and gives it back."""
    name = f"n-{uuid4()}"
    assert migrate(state.db).applied == ()
    assert state.save_agent_state(name, {"goal": "book"}, 0) == 1
    found = state.load_agent_state(name)
    assert found is not None
    assert found.state == {"goal": "book"}
    assert state.preferences.set(name, "seat", "aisle") == 1
    assert state.preferences.get(name, "seat", type=str) == "aisle"
    state.context.add(name, (text for text in ["a letter about seats"]))
    assert [each.document.source for each in state.context.search_text("seats", source=name)] == [name]
    for tx in state.db.transaction():
        with tx:
            state.audit.record("booked", actor="agent", stream=name, tx=tx)
    assert [entry.action for entry in state.audit.last(stream=name)] == ["booked"]
    state.items.put([Put((name,), "k", {"x": 1})])
    assert state.items.get([((name,), "k")])[(name,), "k"].value == {"x": 1}
    state.histories.write(History(name, "r1", name, {}, datetime.now(UTC)), [Entry(name, None, "hello")], expected=None)
    assert [entry.content for entry in state.histories.path(name)] == ["hello"]
    state.shared.append(name, [NewTurn("t", "user", "hi")])
    assert state.shared.contents(name) == ["hi"]
    state.app_sessions.create(SessionName(name, "u", "s"), States(), datetime.now(UTC))
    assert [each.name.id for each in state.app_sessions.listed(name)] == ["s"]
    assert state.graphs.read(Place(name, ""), None).checkpoints == []
    assert state.maintain(dry_run=True).failed == {}


def test_a_tool_runs_in_the_calling_thread_and_may_use_the_client(
    state: SyncAgentState, conversation: SyncConversation
) -> None:
    """Its result is replayed, its error is noted and comes as it is, and a coroutine function may be one too."""

    def tool(sentence: str) -> list[object]:
        conversation.append("from-the-tool", "tool", sentence)
        return [threading.current_thread() is threading.main_thread(), len(state.tasks.depths())]

    first = conversation.tool_call("k", tool, "hello")
    assert first[0]
    assert conversation.tool_call("k", tool, "hello") == first
    assert [turn.id for turn in conversation.turns] == ["from-the-tool"]

    error = ZeroDivisionError("as it is")

    def failing() -> NoReturn:
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        conversation.tool_call("fails", failing)
    assert raised.value is error
    assert conversation.tool_calls["fails"].status is CallStatus.FAILED

    async def asynchronous() -> int:
        return 7

    assert conversation.tool_call("asynchronous", asynchronous) == 7


async def test_a_tool_call_is_replayed_by_the_other_face(database: str, db: outlive.Cluster) -> None:
    """A tool is told by the same name in both, be it a function, a part of one, or an object."""

    class Tool:
        def __call__(self, number: int) -> int:
            return number

    name = f"c-{uuid4()}"
    tools: dict[str, Callable[[int], int]] = {"f": abs, "p": partial(pow, 3), "o": Tool()}
    with outlive.sync.connect(database) as client:
        held = SyncAgentState(client).conversations.open(name, worker="w")
        kept = {key: held.tool_call(key, tool, 5) for key, tool in tools.items()}
    async with await AgentState(db).conversations.open(name, worker="w") as conversation:
        for key, tool in tools.items():
            assert await conversation.tool_call(key, tool, 5) == kept[key]
    assert all(call.attempts == 1 for call in conversation.tool_calls.values())


def test_ctrl_c_in_a_tool_leaves_it_interrupted(conversation: SyncConversation, interrupt: Callable[[], None]) -> None:
    """Neither finished nor failed; the conversation goes on, and the call is run again or asked about."""

    def tool() -> None:
        interrupt()
        threading.Event().wait(60)

    with pytest.raises(KeyboardInterrupt):
        conversation.tool_call("k", tool)
    conversation.append("t", "user", "stop")
    with pytest.raises(InterruptedCallError):
        conversation.tool_call("k", tool, on_interrupted="ask")


def test_ctrl_c_ends_a_statement(state: SyncAgentState, interrupt: Callable[[], None]) -> None:
    """On the server too, soon; and the client serves the next call."""
    marker = f"sleeper-{uuid4()}"
    sleepers = (
        "select count(*) from pg_stat_activity where query like $1 and state = 'active' and pid <> pg_backend_pid()"
    )

    def interrupt_it() -> None:
        eventually(lambda: state.db.fetchval(sleepers, f"%{marker}%", read="strong") == 1)
        interrupt()

    with ThreadPoolExecutor(1) as threads:
        interrupted = threads.submit(interrupt_it)
        with pytest.raises(KeyboardInterrupt):
            state.db.fetchval(f"select pg_sleep(120) /* {marker} */", read="strong", timeout=150)
        interrupted.result()
    eventually(lambda: state.db.fetchval(sleepers, f"%{marker}%", read="strong") == 0)


def test_ctrl_c_within_a_transaction_undoes_it(state: SyncAgentState) -> None:
    """And the client goes on."""
    state.db.execute("create table if not exists interrupted (n int)", idempotent=True)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the loop is what is tested
        for tx in state.db.transaction():
            with tx:
                tx.execute("insert into interrupted values (1)")
                raise KeyboardInterrupt
    assert state.db.fetchval("select count(*) from interrupted", read="strong") == 0


def test_a_listing_that_is_left_early_is_ended(state: SyncAgentState) -> None:
    """The rest is not read; the iterator is closed, and the client serves the next call."""
    queue = f"q-{uuid4()}"
    state.tasks.enqueue_all([NewTask(queue, number, str(number)) for number in range(5)])
    with closing(state.tasks.listed(queue, TaskStatus.QUEUED, page=2)) as tasks:
        assert next(tasks).payload == 0
    assert next(tasks, None) is None
    assert state.tasks.counts(queue)[TaskStatus.QUEUED] == 5


def test_an_error_says_what_was_applied(state: SyncAgentState, conversation: SyncConversation) -> None:
    """The errors are the same, with their outcome."""
    with pytest.raises(LeaseLostError) as lost:
        state.conversations.open(conversation.id, worker="another")
    assert lost.value.outcome is Outcome.NOT_APPLIED
    conversation.append("t", "user", "one")
    with pytest.raises(KeyReusedError) as reused:
        conversation.append("t", "user", "two")
    assert reused.value.outcome is Outcome.NOT_APPLIED


def test_threads_pay_for_an_answer_once(state: SyncAgentState) -> None:
    """Of eight that ask at once, one calls the model, in its own thread."""
    asked, prompt, together = list[str](), f"p-{uuid4()}", threading.Barrier(8, timeout=60)
    cache = SyncLlmCache(state.db.portal, patient(state.db.asynchronous))

    def model() -> str:
        asked.append(threading.current_thread().name)
        return "hello"

    def ask(_: int) -> object:
        together.wait()
        return cache.get_or_compute("m", prompt, {}, model).value

    with ThreadPoolExecutor(8, thread_name_prefix="asking") as threads:
        assert set(threads.map(ask, range(8))) == {"hello"}
    assert len(asked) == 1
    assert asked[0].startswith("asking")


def test_threads_record_into_one_buffer(state: SyncAgentState) -> None:
    """All of it is there when the block is left."""
    kind = f"k-{uuid4()}"
    with state.events.buffer() as events, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: events.record(kind, number), range(100)))
    assert events.counts == BufferCounts(100, 100, 0, 0)
    assert state.events.count()[kind] == 100
    with pytest.raises(ConfigurationError, match="not open"):
        events.record(kind)


def test_more_handlers_than_processors_run_at_once(state: SyncAgentState) -> None:
    """As many as the worker was told; and one that wants to end its thread has failed like any other."""
    queue, together = f"q-{uuid4()}", threading.Barrier(20, timeout=60)
    worker = state.tasks.worker(queue, concurrency=20)

    def handle(task: SyncClaimedTask) -> None:
        together.wait()
        if task.payload == 0:
            worker.stop()
            raise SystemExit(1)

    state.tasks.enqueue_all([NewTask(queue, number, str(number), max_attempts=1) for number in range(20)])
    worker.run(handle)
    counts = state.tasks.counts(queue)
    assert (counts[TaskStatus.FINISHED], counts[TaskStatus.DEAD]) == (19, 1)


def test_ctrl_c_gives_a_workers_tasks_back(state: SyncAgentState, interrupt: Callable[[], None]) -> None:
    """Once the program goes on they are due for another worker, and the attempt does not count."""
    queue, over = f"q-{uuid4()}", threading.Event()

    def handle(_: SyncClaimedTask) -> None:
        interrupt()
        over.wait(60)

    task = state.tasks.enqueue(queue, 1)
    with pytest.raises(KeyboardInterrupt):
        state.tasks.worker(queue).run(handle)
    kept = state.tasks.get(task.id)
    over.set()
    assert (kept.status, kept.attempts) == (TaskStatus.QUEUED, 0)


def test_receipts_of_a_stores_writes_are_gathered(conversation: SyncConversation) -> None:
    """As with the asynchronous client."""
    with outlive.receipts() as made:
        conversation.append("t", "user", "hello")
    assert made[-1].synchronous_standbys
