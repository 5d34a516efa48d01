"""A list of messages on its way to the database and back: whatever was done to it, what is read is what was written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from outlive.adapters.langgraph.memory import KnownList
from outlive.adapters.langgraph.packing import Packing
from outlive.adapters.langgraph.unpacking import Ahead, Unpacking, held_names
from outlive.stores.objects import Contents
from outlive.stores.plan.sharing import Leaf, Piece, named

PATH = "messages"
LONG = "x" * 100

texts = st.sampled_from(["", "a", "b", LONG, LONG + "y"])
places = st.integers(0, 60)


@st.composite
def messages(draw: st.DrawFn) -> AnyMessage:
    """Flat ones, such that hold containers, and such that hold objects, which have no image."""
    text, id_ = draw(texts), draw(st.sampled_from([None, "1", "2"]))
    match draw(st.sampled_from(["human", "ai", "calls", "tool", "object"])):
        case "human":
            return HumanMessage(text, id=id_)
        case "ai":
            return AIMessage(text, id=id_)
        case "calls":
            calls = [{"name": "book", "args": {"seat": draw(st.sampled_from([1, True]))}, "id": "c"}]
            return AIMessage(text, id=id_, tool_calls=calls, response_metadata={"model": "m"})
        case "tool":
            return ToolMessage(text, id=id_, tool_call_id="c")
        case _:
            return AIMessage(text, id=id_, additional_kwargs={"at": datetime(2026, 1, 1, tzinfo=UTC)})


class Lists(RuleBasedStateMachine):
    """A database of objects, a saver that remembers, and a graph that does what it likes to its messages."""

    def __init__(self) -> None:
        super().__init__()
        self.serde = JsonPlusSerializer(allowed_msgpack_modules=True)
        self.stored: dict[UUID, Leaf | Piece] = {}
        self.lists: dict[str, KnownList] = {}
        self.shape: Any = None
        self.values: list[Any] = []

    @initialize(some=st.lists(messages(), max_size=40))
    def begin(self, some: list[AnyMessage]) -> None:
        """With some messages."""
        self.values = some
        self._write()

    @rule(more=st.lists(messages(), min_size=1, max_size=20))
    def append(self, more: list[AnyMessage]) -> None:
        """A turn."""
        self.values = [*self.values, *more]
        self._write()

    @rule(place=places, text=texts)
    def change(self, place: int, text: str) -> None:
        """A message in place."""
        if self.values:
            self.values[place % len(self.values)].content = text
        self._write()

    @rule(place=places)
    def fill(self, place: int) -> None:
        """A container of a message, in place."""
        if self.values:
            self.values[place % len(self.values)].additional_kwargs["n"] = place
        self._write()

    @rule(place=places, count=st.integers(1, 50))
    def cut(self, place: int, count: int) -> None:
        """Some messages away."""
        self.values = self.values[:place] + self.values[place + count :]
        self._write()

    @rule(place=places, each=messages())
    def insert(self, place: int, each: AnyMessage) -> None:
        """One in between."""
        self.values = [*self.values[:place], each, *self.values[place:]]
        self._write()

    @rule()
    def turn_round(self) -> None:
        """All of them elsewhere."""
        self.values = self.values[::-1]
        self._write()

    @rule(is_new=st.booleans())
    def load(self, is_new: bool) -> None:
        """By the same process or by a new one; nobody sees what is done to what was given out before."""
        if is_new:
            self.lists = {}
        before, self.values = self.values, self._read()
        for each in before:
            each.content = "changed by nobody who matters"
            each.additional_kwargs["changed"] = True

    @invariant()
    def what_is_read_is_what_was_written(self) -> None:
        """Message by message, with their classes; True is not 1."""
        read = self._read()
        assert repr(read) == repr(self.values)
        assert [type(each) for each in read] == [type(each) for each in self.values]

    def _write(self) -> None:
        packing = Packing(self.serde, 1_000_000, lambda _: False, self.lists)
        self.shape = packing.shape(self.values, PATH)
        assert packing.parcel.believed <= self.stored.keys() | packing.parcel.objects.keys()
        self.stored.update(packing.parcel.objects)
        self.lists = {**self.lists, **packing.lists}

    def _read(self) -> list[Any]:
        if self.shape is None:
            return []
        ahead = Ahead(self.lists)
        ahead.make()
        unpacking = Unpacking(self.serde, self._sent(held_names(self.lists)), self.lists, ahead)
        values: list[Any] = unpacking.value(self.shape, PATH)
        self.lists = {**self.lists, **unpacking.lists}
        return values

    def _sent(self, held: Iterable[UUID]) -> Contents:
        """What the database sends to a reader who has these."""
        contents, asked, has = Contents(), list(named(self.shape)), set(held)
        while asked:
            name = asked.pop()
            if name in has:
                continue
            match self.stored[name]:
                case Leaf() as leaf:
                    contents.leaves[name] = leaf
                case Piece() as piece:
                    contents.pieces[name] = piece
                    asked += [*([] if piece.base is None else [piece.base]), *piece.parts]
        return contents


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
