"""The two faces of every store don't drift apart: what is added to one is missed on the other."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import outlive.sync
from outlive.stores import AgentState, ClaimedTask, Conversation, EventBuffer, Worker
from outlive.stores.sync import SyncAgentState, SyncClaimedTask, SyncConversation, SyncEventBuffer, SyncWorker
from outlive.sync import Seen

INTERNAL = {"db", "lose"}
"""The client below the tasks, and the worker's note that a lease is lost."""

OF_ITS_OWN = {"asynchronous", "db"}
"""The way to the other face, and the synchronous client below the stores."""

HELD = {Conversation: SyncConversation, ClaimedTask: SyncClaimedTask, Worker: SyncWorker, EventBuffer: SyncEventBuffer}
"""What the stores give that has calls of its own."""

OTHER_WORDS = {"Worker.run"}
"""Its handler runs in threads of the worker's, which has to be said."""

CALLED_ON_THE_LOOP = {"Events.buffer"}
"""Nobody waits when its callback is due."""

Pair = tuple[type, type]


def pairs() -> list[Pair]:
    """Each asynchronous class with its face, found from the door."""
    with_no_server = outlive.sync.connect("postgresql://nobody@127.0.0.1/none")
    try:
        state = SyncAgentState(with_no_server)
        stores = {name: store for name, store in vars(state.asynchronous).items() if name not in {"db", "classes"}}
        found = [(type(store), type(getattr(state, name))) for name, store in stores.items()]
    finally:
        with_no_server.close()
    return [(AgentState, SyncAgentState), *found, *HELD.items()]


def public(of: type) -> set[str]:
    """The names without an underscore."""
    return {name for name in dir(of) if not name.startswith("_")}


def calls() -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
    """Each method with its twin."""
    return [
        (getattr(one, name), getattr(other, name))
        for one, other in pairs()
        for name in sorted(public(one) - INTERNAL)
        if inspect.isfunction(getattr(one, name)) and hasattr(other, name)
    ]


def parameters(of: Callable[..., Any], *, as_written: bool = False) -> list[tuple[str, Any, Any]]:
    """What a call takes, or what its own text says so far as it says it by hand."""
    said = inspect.signature(of, follow_wrapped=not as_written).parameters.values()
    if as_written and any(each.kind is each.VAR_KEYWORD for each in said):
        return parameters(of)
    return [(each.name, each.kind, each.default) for each in said]


def is_callable(hint: object) -> bool:
    """Whether a value of this type may be a function."""
    return get_origin(hint) is Callable or any(map(is_callable, get_args(hint)))


def is_lent(twin: Callable[..., Any]) -> Iterable[str]:
    """The parameters whose functions run in the calling thread."""
    asks: Iterable[str] = inspect.getclosurevars(inspect.unwrap(twin, stop=lambda _: True)).nonlocals.get("asks", ())
    return asks


@pytest.mark.parametrize(("one", "other"), pairs(), ids=lambda each: each.__name__)
def test_every_name_is_there_without_asyncio(one: type, other: type) -> None:
    """Each call and attribute, and `with` where there is `async with`; attributes say the same of themselves."""
    assert other.__name__ == f"Sync{one.__name__}"
    assert public(one) - INTERNAL <= public(other)
    assert hasattr(other, "__enter__") == hasattr(one, "__aenter__")
    for name in public(one) - INTERNAL:
        twin = getattr(one, name)
        if isinstance(twin, property):
            assert isinstance(getattr(other, name), Seen)
            assert getattr(other, name).__doc__ == twin.__doc__
    added = {name for name in public(other) - public(one) if not isinstance(getattr(other, name), Seen)}
    assert added <= OF_ITS_OWN


@pytest.mark.parametrize(("method", "twin"), calls(), ids=lambda each: each.__qualname__)
def test_every_call_takes_and_says_the_same(method: Callable[..., Any], twin: Callable[..., Any]) -> None:
    """Its parameters, their defaults and its docstring; and what it returns is nothing to be awaited."""
    assert parameters(twin) == parameters(twin, as_written=True) == parameters(method)
    if method.__qualname__ not in OTHER_WORDS:
        assert inspect.getdoc(twin) == inspect.getdoc(method)
    assert not inspect.iscoroutinefunction(twin)
    returned = str(inspect.signature(twin).return_annotation)
    asynchronous = "|".join(each.__name__ for each in HELD)
    assert not re.search(rf"\b({asynchronous}|Async\w+|Awaitable|Coroutine)\b", returned)


@pytest.mark.parametrize(("method", "twin"), calls(), ids=lambda each: each.__qualname__)
def test_every_function_that_a_caller_gives_runs_in_its_thread(
    method: Callable[..., Any], twin: Callable[..., Any]
) -> None:
    """On the loop it would hold up whatever else the client does, and could not call it."""
    if method.__qualname__ in CALLED_ON_THE_LOOP | OTHER_WORDS:
        return
    hints = get_type_hints(method)
    functions = {name for name in inspect.signature(method).parameters if is_callable(hints.get(name))}
    assert functions <= set(is_lent(twin))


def test_the_door_takes_the_same_options() -> None:
    """And has the attributes that the asynchronous one has."""
    assert parameters(SyncAgentState) == parameters(AgentState)
