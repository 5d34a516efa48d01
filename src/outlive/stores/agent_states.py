"""The state of an agent in versions: a save names the version that it changes, and costs what it changes.

The state is a dictionary of JSON. What stands under a key is stored apart from the rest, a list element by element,
so that a save writes the values that are new; every version can be read until it is pruned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from outlive.errors import UnstorableError
from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.objects import Contents, Parcel
from outlive.stores.plan.sharing import INLINE_BYTES, Leaf, dumps, inline, leaf_of, linked, named, unlinked
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt
from outlive.stores.statements import Statements

JSON = "json"


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """One version of an agent's state; the first one is 1. `saved_at` is aware."""

    version: int
    state: dict[str, Any]
    saved_at: datetime


class AgentStates:
    """The states of the agents in one database, by the agents' ids."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def save(self, agent_id: str, state: Mapping[str, Any], expected_version: int) -> int:
        """Keep a new version of the state, if its latest version is the expected one, 0 if there is none yet.

        Returns the version that it has now.

        Raises:
            VersionConflictError: somebody else saved it meanwhile; load it, and decide again.
            UnstorableError: it is no dictionary of JSON, holds a NUL, or a value is too large.
        """
        name = checked_name(agent_id, "an agent's id")
        if type(expected_version) is not int or expected_version < 0:
            raise UnstorableError(f"the expected version must be a number from 0 on, not {expected_version!r}")
        packed = _Packed(state, f"the state of the agent {agent_id!r}", self._max_value_bytes)
        await self._statements.write(
            queries("agent_states")["save"],
            name,
            expected_version,
            new_attempt(),
            packed.body,
            packed.refs,
            *packed.parcel.columns(),
        )
        return expected_version + 1

    async def load(self, agent_id: str, version: int | None = None) -> AgentVersion | None:
        """The latest version of the state, or that version; None if there is none. It shows every acknowledged save."""
        sql = queries("agent_states")["read"]
        rows = await self._statements.read_all(sql, checked_name(agent_id, "an agent's id"), version, [])
        return _version(rows) if rows else None

    async def prune(self, agent_id: str, *, keep: int = 1) -> int:
        """Forget the versions but the latest ones, and what only they held; how many there were.

        With `keep=0` the agent's state is erased, and begins again at version 0.
        """
        name = checked_name(agent_id, "an agent's id")
        if keep < 0:
            raise UnstorableError(f"{keep} versions can't be kept")
        row = await self._statements.write(queries("agent_states")["prune"], name, keep)
        return int(row["gone"])


class _Packed:
    """A state as a body of shapes and the objects that these name."""

    def __init__(self, state: Mapping[str, Any], what: str, max_value_bytes: int) -> None:
        if not isinstance(state, dict):
            raise UnstorableError(f"{what} must be a dictionary, not {type(state).__name__}")
        self.parcel = Parcel()
        self._limit = max_value_bytes
        for key in state:
            checked_name(key, f"a key of {what}")
        shapes = {key: self._shape(value, f"{what}, {key!r}") for key, value in state.items()}
        self.body = dumps(shapes)
        self.refs = list({name for shape in shapes.values() for name in named(shape)})

    def _shape(self, value: Any, what: str) -> Any:
        if type(value) is not list or not value:
            return self._placed(self._leaf(value, what))
        leaves = [self._leaf(each, f"{what}[{place}]") for place, each in enumerate(value)]
        chain, pieces = linked([leaf if len(leaf.content) <= INLINE_BYTES else leaf.name for leaf in leaves])
        for piece in pieces:
            self._add(piece.name, piece)
        for leaf in leaves:
            if len(leaf.content) > INLINE_BYTES:
                self._add(leaf.name, leaf)
        return {"list": chain.tip.hex}

    def _placed(self, leaf: Leaf) -> Any:
        if len(leaf.content) <= INLINE_BYTES:
            return inline(leaf)
        self._add(leaf.name, leaf)
        return leaf.name.hex

    def _leaf(self, value: Any, what: str) -> Leaf:
        return Leaf(JSON, encode(value, what, self._limit).encode())

    def _add(self, name: UUID, content: Any) -> None:
        self.parcel.add(name, content, is_stored=lambda _: False)


def _version(rows: Sequence[asyncpg.Record]) -> AgentVersion:
    contents = Contents()
    contents.take(rows[1:])
    state = {key: _value(shape, contents) for key, shape in decode(rows[0]["body"]).items()}
    return AgentVersion(rows[0]["version"], state, rows[0]["saved_at"])


def _value(shape: Any, contents: Contents) -> Any:
    match shape:
        case {"list": str(tip)}:
            return [_element(each, contents) for each in unlinked(UUID(tip), contents.pieces).elements]
        case str():
            return _element(UUID(shape), contents)
        case _:
            return _element(leaf_of(shape), contents)


def _element(element: UUID | Leaf, contents: Contents) -> Any:
    leaf = element if isinstance(element, Leaf) else contents.leaves[element]
    return decode(leaf.content.decode())
