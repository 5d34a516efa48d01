"""One attempt at a transaction on the primary: begun, committed or rolled back, and judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from outlive.client import claims
from outlive.client.attempts import Attempts
from outlive.client.failures import UNREPLICATED, AttemptError, diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import Isolation, begin, begin_message, fence, tenant_setting
from outlive.client.plan.keys import Done, Key, guarded_claim
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.synchronous import InForce, NotInForce
from outlive.client.plan.topology import Primary
from outlive.client.receipts import gathered, is_gathering, made
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import CANCELLED, Wire
from outlive.errors import ConfigurationError, TransactionError
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome
from outlive.system import now_utc


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transaction has to keep; `degraded` lets a critical one go on without a synchronous standby.

    `tenant` is the one whose rows it sees, where tenants are kept apart.
    """

    durability: Durability
    isolation: Isolation | None
    degraded: bool
    key: Key | None = None
    tenant: str | None = None


class Attempt:
    """One attempt at a transaction, from its first message to its last."""

    __slots__ = (
        "_acknowledged_at", "_attempts", "_interrupted", "_nodes", "_primary", "_receipt", "_terms", "_wire",
        "done", "unanswered",
    )  # fmt: skip

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        self.unanswered = False
        """Whether its COMMIT went out and nobody knows what became of it."""
        self.done: Done | None = None
        """Set by `begin` if the key's request was applied before; then only `commit` is left to do."""
        self._acknowledged_at: datetime | None = None
        self._receipt: Receipt | None = None
        self._interrupted = False
        self._nodes = nodes
        self._terms = terms
        self._attempts = attempts
        self._wire: Wire | None = None
        self._primary: Primary | None = None

    @property
    def receipt(self) -> Receipt | None:
        """What the commit got; None before it."""
        if self._receipt is None and self._acknowledged_at is not None:
            assert self._primary is not None
            self._receipt = made(
                self._primary,
                self._terms.durability,
                self._attempts.number,
                self._acknowledged_at,
                replayed=self.done is not None,
            )
        return self._receipt

    @property
    def is_committed(self) -> bool:
        """Whether its commit was acknowledged."""
        return self._acknowledged_at is not None

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._wire is not None

    def belongs_to(self, nodes: Nodes) -> bool:
        """Whether it is of the client that watches these nodes."""
        return self._nodes is nodes

    async def begin(self) -> None:
        """Begin on the primary, as often as it takes within the budget."""
        while self._wire is None:
            await self._attempts.next()
            await self._try_begin()

    async def _try_begin(self) -> None:
        deadline = self._attempts.deadline
        wire = None
        try:
            primary = self._known_target() or await self._target()
            wire = self._nodes.take(primary.address) or await self._nodes.acquire(primary.address, deadline)
            wire.alarm.set(deadline.at)
            self.done = await claims.begin(wire, self._opening(wire, primary), self._terms.key)
            wire.guards.confirm()
        except Exception as error:
            failure = diagnose(error, Phase.CONNECT if wire is None else Phase.BEGIN, wire)
            self._drop(wire, str(error))
            self._attempts.failed(error, failure, wire)
        except BaseException:
            self._attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise
        else:
            self._wire, self._primary = wire, primary
            if self._terms.key is not None and self.done is None:
                self._attempts.resolved()

    def _known_target(self) -> Primary | None:
        return self._nodes.ready(synchronous=self._must_be_synchronous())

    async def _target(self) -> Primary:
        deadline = self._attempts.deadline
        if self._must_be_synchronous():
            return await self._nodes.synchronous_primary(deadline)
        return await self._nodes.primary(deadline)

    def _must_be_synchronous(self) -> bool:
        return self._terms.durability is Durability.CRITICAL and not self._terms.degraded

    def _opening(self, wire: Wire, primary: Primary, *, yields: bool = True) -> str:
        """The first message: BEGIN, the class, and the fence together with the key.

        A key that is taken gives its own tag where the claim `yields`, and else fails.
        """
        terms = self._terms
        level, names = self._synchrony(primary)
        tenant = "" if terms.tenant is None else f"{tenant_setting(terms.tenant)};"
        if self._nodes.limits.pooler:
            text = begin_message(level, primary.facts.timeline, names, terms.isolation)
            return f"{text};{tenant}{'' if terms.key is None else terms.key.claim}"
        if terms.key is None:
            guard = wire.guards.call(fence(primary.facts.timeline, names), "")
        else:
            claim = guarded_claim(terms.key.table, primary.facts.timeline, names, yields=yields)
            guard = wire.guards.call(claim, terms.key.constants)
        return f"{begin(level, terms.isolation)};{tenant}{guard}"

    def _synchrony(self, primary: Primary) -> tuple[str, str | None]:
        """The class as a setting, and the synchronous setting that has to be in force for it."""
        if self._terms.durability is not Durability.CRITICAL:
            return self._terms.durability.synchronous_commit, None
        match primary.synchronous:
            case InForce(names=names):
                return Durability.CRITICAL.synchronous_commit, names
            case NotInForce():
                # `on` could wait for a standby forever; the caller allowed less, and the receipt says so.
                return Durability.REGENERABLE.synchronous_commit, None

    async def commit(self, result: str | None = None, *, last: bool = False) -> bool:
        """Commit and set the receipt; False if it failed and another attempt is due, which `last` rules out.

        `result` is kept with the key, as JSON text.

        Raises:
            CommitUnknownError: the connection was lost meanwhile, or no standby confirmed.
        """
        wire = self._held()
        try:
            await self._commit(wire, result)
        except Exception as error:
            failure = diagnose(error, Phase.COMMIT, wire)
            self._release(wire, failure)
            self.unanswered = failure is not None and failure.outcome is Outcome.UNKNOWN
            if self._interrupted and not self.unanswered:
                self._attempts.abandoned(wire, CANCELLED)
                raise asyncio.CancelledError from error
            self._attempts.failed(error, failure, wire, last=last or self._interrupted)
            return False
        self._release(wire)
        self._attempts.succeeded(wire)
        if self._interrupted:
            raise asyncio.CancelledError
        return True

    async def _commit(self, wire: Wire, result: str | None) -> None:
        """Send COMMIT and judge the answer, whether or not the task is cancelled meanwhile."""
        if not wire.is_open:
            reason = wire.cut_reason or "the connection was lost before COMMIT was sent"
            raise AttemptError(AttemptFailure(Phase.BODY, FailureKind.LOST, reason))
        message = self._terms.key.commit(result) if self._terms.key is not None else "COMMIT"
        try:
            tag = await uninterrupted(wire.connection.execute(message), self._interrupt)
        except asyncpg.InFailedSQLTransactionError:
            tag = "ROLLBACK"
        if tag != "COMMIT":
            raise TransactionError("rolled back: one of its statements had failed, and the error was swallowed")
        self._acknowledge(wire)

    def _acknowledge(self, wire: Wire) -> None:
        """Take the server's answer for an acknowledgement, unless it said that nobody confirmed.

        Raises:
            AttemptError: it did.
        """
        if wire.unreplicated:
            raise AttemptError(AttemptFailure(Phase.COMMIT, FailureKind.UNREPLICATED, UNREPLICATED))
        self._acknowledged_at = now_utc()
        if is_gathering() and (receipt := self.receipt):
            gathered(receipt)

    def _interrupt(self) -> None:
        self._interrupted = True

    async def roll_back(self, error: BaseException) -> None:
        """Undo after `error`: returns if another attempt is due, else raises the caller's error."""
        wire = self._held()
        if not isinstance(error, Exception):
            # Cancelled: nothing may be awaited any more, and the server rolls back as the connection ends.
            self._attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise error
        failure = diagnose(error, Phase.BODY, wire)
        await self._undo(wire, failure)
        self._attempts.failed(error, failure, wire)

    async def undo(self) -> None:
        """Roll back, without an error that asked for it."""
        self._attempts.abandoned(self._held(), "it was given up")
        await self._undo(self._held())

    async def _undo(self, wire: Wire, failure: AttemptFailure | None = None) -> None:
        try:
            await wire.connection.execute("ROLLBACK")
        except BaseException as error:
            self._drop(wire, "it could not be rolled back")
            if not isinstance(error, Exception):
                raise
        else:
            # A session has the settings of its role from its login on: one that may not write is of no more use.
            is_read_only = failure is not None and failure.kind is FailureKind.READ_ONLY
            self._release(wire, failure if is_read_only else None)

    def _held(self) -> Wire:
        if self._wire is None:
            raise ConfigurationError(
                "the transaction is not open",
                hint="Use it inside its `async with` block, and keep nothing of it after.",
            )
        return self._wire

    def _drop(self, wire: Wire | None, reason: str) -> None:
        if wire is not None:
            wire.cut(reason)
            self._release(wire)

    def _release(self, wire: Wire, failure: AttemptFailure | None = None) -> None:
        wire.alarm.clear()
        self._wire = None
        self._nodes.release(wire, failure)
