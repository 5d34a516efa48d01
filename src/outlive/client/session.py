"""What one client has written and read, so that its reads never go back behind it.

A session is one `Cluster`. It notes when its calls end and nothing else: positions come from the watch, whose
next word of the primary bounds them all, so that no call costs a round trip for it.
"""

from __future__ import annotations

from outlive.client.monitor import Monitor
from outlive.client.plan.routing import NEVER, Mark, Standby
from outlive.client.plan.topology import View
from outlive.errors import NoPrimaryError
from outlive.model.deadline import Deadline
from outlive.model.lsn import Lsn
from outlive.model.session import SessionToken
from outlive.model.topology import Address
from outlive.system import monotonic

TOKEN_TIMEOUT_S = 10.0


class Session:
    """How far a client has come."""

    def __init__(self, monitor: Monitor, token: SessionToken | None = None) -> None:
        self._lsn = token.lsn if token else Lsn(0)
        self._wrote_at = self._read_at = NEVER
        self._follows: Standby | None = None
        self._monitor = monitor

    @property
    def mark(self) -> Mark:
        """What its next read has to find."""
        return Mark(self._lsn, self._wrote_at, self._read_at, self._follows)

    def wrote(self) -> None:
        """A call on a primary ended: whatever it wrote or read, it was there before this moment."""
        self._wrote_at = monotonic()

    def follow(self, standby: Standby) -> None:
        """A read is about to use this standby."""
        self._follows = standby

    def has_read(self, address: Address) -> None:
        """A session read ended on a node; on another than the one that is followed now, it binds every node."""
        if self._follows is not None and self._follows.address == address:
            self._read_at = monotonic()
        else:
            self._wrote_at = monotonic()

    async def token(self, timeout: float = TOKEN_TIMEOUT_S) -> str:
        """A short text for another process: `outlive.connect(..., session=token)` reads there all that this client
        has written and read.

        Waits for the watch to ask the primary once if it has not done so since the latest call.

        Raises:
            NoPrimaryError: no primary said within `timeout` seconds how far it is.
        """
        mark = self.mark
        deadline = Deadline.after(timeout, monotonic())
        await self._monitor.wait(lambda view: reached(view, mark) is not None, deadline)
        found = reached(self._monitor.view, mark)
        if found is None:
            raise NoPrimaryError(f"no primary said within {timeout:g} s how far it is")
        return str(found)


def reached(view: View, mark: Mark) -> SessionToken | None:
    """A place at or beyond everything that the session wrote and read, if one is known."""
    if view.system_identifier is None:
        return None
    since = max(mark.wrote_at, mark.read_at)
    newest = view.samples[-1] if view.samples else None
    if newest is not None and newest.at > since:
        return SessionToken(view.system_identifier, newest.timeline, max(newest.lsn, mark.lsn))
    if since == NEVER:
        return SessionToken(view.system_identifier, view.highest, mark.lsn)
    return None
