"""Statements that a connection has prepared, to be run by an EXECUTE in a message of several statements.

Each is prepared once on each connection, the driver's way. Only arguments are written into a message, as constants;
no text of the caller's SQL ever stands beside them.

Source: PostgreSQL documentation, "Extended Query": statements prepared in the protocol can be run with EXECUTE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from outlive.client.plan.literals import literal
from outlive.errors import ConfigurationError

if TYPE_CHECKING:
    from outlive.client.wire import Wire

MAX_PREPARED = 100
"""Statements that a connection keeps prepared."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that a connection has prepared; `handle` keeps the driver from closing it."""

    call_text: str
    parameters: tuple[str, ...]
    handle: Any

    def check(self, args: Sequence[object]) -> None:
        """Count the arguments.

        Raises:
            ConfigurationError: there are more or fewer of them than the statement takes.
        """
        if len(args) != len(self.parameters):
            raise ConfigurationError(f"the statement takes {len(self.parameters)} arguments, {len(args)} were given")

    def call(self, args: Sequence[object]) -> str | None:
        """The EXECUTE with these arguments, None if one of them has no constant.

        Raises:
            ConfigurationError: there are more or fewer of them than the statement takes.
        """
        self.check(args)
        if not args:
            return f"{self.call_text};"
        constants = []
        for value, kind in zip(args, self.parameters, strict=True):
            constant = literal(value, kind)
            if constant is None:
                return None
            constants.append(constant)
        return f"{self.call_text}({','.join(constants)});"


async def prepared(wire: Wire, sql: str) -> Prepared:
    """The statement as this connection has it prepared; the first time takes a round trip.

    The one that was not used for longest is forgotten beyond `MAX_PREPARED`.
    """
    if found := known(wire, sql):
        return found
    handle = await wire.connection.prepare(sql)
    parameters = tuple(_type_name(parameter) for parameter in handle.get_parameters())
    made = Prepared(f'EXECUTE "{handle.get_name()}"', parameters, handle)
    if len(wire.prepared) >= MAX_PREPARED:
        del wire.prepared[next(iter(wire.prepared))]
    wire.prepared[sql] = made
    return made


def known(wire: Wire, sql: str) -> Prepared | None:
    """The statement, if this connection has it prepared."""
    found = wire.prepared.pop(sql, None)
    if found is not None:
        wire.prepared[sql] = found
    return found


def _type_name(parameter: asyncpg.Type) -> str:
    # A type of one's own may have a known one's name: only the server's own are known.
    return parameter.name if parameter.schema == "pg_catalog" else ""
