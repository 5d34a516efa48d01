"""Every error that Outlive raises, its outcome and the way out.

    OutliveError
    ├── ConfigurationError        NOT_APPLIED  found before any I/O on a database
    ├── UnavailableError          NOT_APPLIED
    │   ├── NoPrimaryError
    │   ├── NoStandbyError
    │   └── PoolTimeoutError
    ├── SplitBrainError           NOT_APPLIED  two primaries seen; refuses to guess
    ├── TransactionError
    │   ├── ConflictError         NOT_APPLIED  40001, 40P01; retried for you
    │   ├── DemotedError          NOT_APPLIED  the node is no longer the primary
    │   ├── CommitUnknownError    UNKNOWN      never retried blindly
    │   ├── DurabilityNotMetError NOT_APPLIED  no synchronous standby in force
    │   └── RetryBudgetExceededError           `__cause__` is the last failure
    ├── StateError                NOT_APPLIED
    │   ├── VersionConflictError
    │   ├── LeaseLostError
    │   ├── KeyReusedError
    │   ├── KeyExpiredError       the key is older than keys are kept: whether it was applied is forgotten
    │   ├── NotFoundError
    │   ├── UnstorableError       the value can't be kept as it is: not JSON, a NUL, too large
    │   ├── InterruptedCallError  a tool call was started and never finished; the caller decides
    │   └── SchemaError           the tables are missing, altered or newer than this code
    ├── BackupError               NOT_APPLIED
    │   ├── WalGapError           WAL between two kept segments is missing
    │   ├── ChecksumMismatchError what was read is not what was written
    │   ├── RecoveryTargetError   the moment asked for can't be restored
    │   └── RestoreTestFailedError  a restored backup does not hold what it should
    ├── ObjectStorageError        UNKNOWN      the object store did not answer, or failed
    │   ├── ObjectNotFoundError   NOT_APPLIED  there is no such object
    │   ├── ObjectExistsError     NOT_APPLIED  a create-only write found one there
    │   └── AccessRefusedError    NOT_APPLIED  the credentials don't allow it
    └── ControlPlaneError         UNKNOWN      Patroni, etcd or a supervisor did not answer, or refused

The user's own SQL errors (`asyncpg.UniqueViolationError` ...) pass through untouched. `code` is the slug
that the documentation, the command's `--json` and the alerts share; `exit_code` is what the command ends with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from outlive.model.outcome import Outcome

RESOLVE_TIMEOUT_S = 60.0


class OutliveError(Exception):
    """What every error of Outlive is. `hint` is a sentence that says what to do."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    outcome: Outcome = Outcome.NOT_APPLIED
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        if outcome is not None:
            self.outcome = outcome


class ConfigurationError(OutliveError):
    """What was asked for can't be: a wrong DSN, option, file or directory. Nothing was touched."""

    code = "configuration"
    exit_code = 2


class UnavailableError(OutliveError):
    """No node that could do it was reachable in time. Nothing was applied."""

    code = "unavailable"
    exit_code = 3
    retryable = True
    hint = "`outlive status` shows which nodes answer."


class NoPrimaryError(UnavailableError):
    """No writable primary was found before the deadline."""

    code = "no-primary"


class NoStandbyError(UnavailableError):
    """A read asked for a standby and none was fit."""

    code = "no-standby"


class PoolTimeoutError(UnavailableError):
    """Every connection stayed in use until the deadline."""

    code = "pool-timeout"
    hint = "Hold connections for less time, or raise the pool's size."


class SplitBrainError(OutliveError):
    """Two nodes call themselves primary on the same timeline. Outlive refuses to choose."""

    code = "split-brain"
    exit_code = 4
    hint = "Stop one of the two by hand; `outlive status` names them."


class TransactionError(OutliveError):
    """A transaction did not end as asked."""

    code = "transaction"
    exit_code = 5


class ConflictError(TransactionError):
    """The transaction lost against a concurrent one (SQLSTATE 40001 or 40P01) and was rolled back."""

    code = "conflict"
    retryable = True


class DemotedError(TransactionError):
    """The node stopped being the primary before it applied anything."""

    code = "demoted"
    retryable = True


class CommitUnknownError(TransactionError):
    """The connection was lost while COMMIT was under way: the transaction may or may not be applied."""

    code = "commit-unknown"
    outcome = Outcome.UNKNOWN
    hint = "Read back what the transaction wrote before doing it again, or give it a key: then it is done once."
    resolver: Callable[[float], Awaitable[Outcome]] | None = None
    """Finds out what became of it; set where the transaction had a key."""

    async def resolve(self, timeout: float = RESOLVE_TIMEOUT_S) -> Outcome:
        """What became of the transaction; UNKNOWN if that can't be told within `timeout` seconds either.

        An answer is final: what was not applied will not be applied any more.

        Raises:
            ConfigurationError: the transaction had no key, so nothing in the database tells.
        """
        if self.resolver is None:
            raise ConfigurationError(
                "a transaction without a key can't be resolved", hint="Read back what it wrote, or give it a key."
            )
        return await self.resolver(timeout)


class DurabilityNotMetError(TransactionError):
    """A critical write was refused because no synchronous standby is in force."""

    code = "durability-not-met"
    exit_code = 6
    retryable = True
    hint = "Bring a standby back (`outlive status`), or write as `regenerable` what can be recreated."


class RetryBudgetExceededError(TransactionError):
    """Attempts or time ran out; `__cause__` is the last failure and `outcome` is that failure's."""

    code = "retry-budget-exceeded"


class StateError(OutliveError):
    """The agent's state does not allow it. Nothing was applied."""

    code = "state"
    exit_code = 7


class VersionConflictError(StateError):
    """Somebody else changed it first."""

    code = "version-conflict"


class LeaseLostError(StateError):
    """Another worker holds the conversation now."""

    code = "lease-lost"
    hint = "Stop working on this conversation: its new holder goes on from the last committed turn."


class KeyReusedError(StateError):
    """The same key or id came with other content."""

    code = "key-reused"
    hint = "Give each different request a key of its own."


class KeyExpiredError(StateError):
    """The key is older than keys are kept. This attempt applied nothing; whether an earlier one did is forgotten."""

    code = "key-expired"
    hint = "Look whether it was applied; if it was not, ask for it again with a new key."


class NotFoundError(StateError):
    """There is no such thing."""

    code = "not-found"


class UnstorableError(StateError):
    """A value can't be stored faithfully: it is not JSON, holds a NUL, or is too large."""

    code = "unstorable"


class InterruptedCallError(StateError):
    """A tool call was started and its end is not known; its caller asked to decide what happens then."""

    code = "tool-call-interrupted"
    hint = 'Find out whether it took effect; then call it again with on_interrupted="rerun", or record its result.'


class SchemaError(StateError):
    """The schema `outlive` is missing, was altered, or is newer than this code knows."""

    code = "schema"
    hint = "Run `outlive migrate`."


class BackupError(OutliveError):
    """A backup, an archive or a restore did not end as asked."""

    code = "backup"
    exit_code = 9


class WalGapError(BackupError):
    """WAL that recovery needs is missing between what is kept."""

    code = "wal-gap"
    hint = "`outlive wal check` names the segments; take a full backup: recovery can start behind the gap."


class ChecksumMismatchError(BackupError):
    """What was read is not what was written: damaged, exchanged, cut short, or under another key."""

    code = "checksum-mismatch"
    hint = "Restore from another backup; `outlive backup verify` tells which ones are whole."


class RecoveryTargetError(BackupError):
    """The moment asked for lies outside what can be restored."""

    code = "recovery-target"
    hint = "`outlive backup list` shows the recoverable window."


class RestoreTestFailedError(BackupError):
    """A backup was restored for the test, and does not hold what it should."""

    code = "restore-test-failed"
    hint = "Take a full backup now and verify it; the evidence of this test names what is wrong."


class ObjectStorageError(OutliveError):
    """The object store did not answer in time, or refused."""

    code = "object-storage"
    exit_code = 10
    outcome = Outcome.UNKNOWN
    retryable = True


class ObjectNotFoundError(ObjectStorageError):
    """There is no such object."""

    code = "object-not-found"
    outcome = Outcome.NOT_APPLIED
    retryable = False


class ObjectExistsError(ObjectStorageError):
    """A write that may only create found an object there."""

    code = "object-exists"
    outcome = Outcome.NOT_APPLIED
    retryable = False


class AccessRefusedError(ObjectStorageError):
    """The object store refuses these credentials. Nothing was done."""

    code = "access-refused"
    outcome = Outcome.NOT_APPLIED
    retryable = False
    hint = "Look at the credentials (AWS_ACCESS_KEY_ID, or the file of --storage-options) and at what they may do."


class ControlPlaneError(OutliveError):
    """Patroni, etcd or a supervisor did not answer in time, or refused."""

    code = "control-plane"
    exit_code = 8
    outcome = Outcome.UNKNOWN
