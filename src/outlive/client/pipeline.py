"""Several prepared statements sent at once, as one transaction, without BEGIN, COMMIT and a text to be parsed.

The driver has no pipeline of its own; but it sends rows of arguments for one statement as one, and drops whatever
rows and tags come back before its Sync is answered. So the last statement goes the driver's way, and the others are
written to its transport in the moment between the last one's encoding and its sending: what can't be encoded fails
before anything is under way, and the driver's Sync ends all of it.

Only statements that do the same within BEGIN and without it go this way, which excludes LOCK, SET LOCAL and their like.

Source: PostgreSQL documentation, "Pipelining".
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import lru_cache

from outlive.client.plan.extended import execution
from outlive.client.plan.keys import Key
from outlive.client.prepared import Prepared
from outlive.client.wire import Wire

_PLAIN = re.compile(r"\s*(insert|update|delete|merge|select|with)\b", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_plain(sql: str) -> bool:
    """Whether a statement does the same in a transaction that the protocol begins and ends."""
    return _PLAIN.match(sql) is not None


def guarding(name: str, key: Key | None) -> bytes:
    """What runs a guard: the fence, and the claim of the key if there is one."""
    return execution(name.encode(), () if key is None else key.binary, binary=key is not None)


def before_last(calls: Sequence[tuple[Prepared, Sequence[object]]]) -> bytes | None:
    """All calls but the last, None if an argument of theirs has no exact text.

    Raises:
        ConfigurationError: there are more or fewer arguments than a statement takes.
    """
    messages = [statement.execution(args) for statement, args in calls[:-1]]
    found = [message for message in messages if message is not None]
    return b"".join(found) if len(found) == len(messages) else None


async def send(wire: Wire, messages: bytes, last: Prepared, args: Sequence[object]) -> None:
    """Run the messages and the last statement as one transaction, and wait for its end."""

    def rows() -> Generator[Sequence[object]]:
        yield args
        # Asked for another row: the one before is encoded by now, and Sync follows at once.
        wire.connection._transport.write(messages)  # noqa: SLF001 - the driver offers no other way

    await last.handle.executemany(rows())
