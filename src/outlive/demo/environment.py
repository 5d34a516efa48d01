"""Where the demo runs: a cluster that it starts and may hurt, or one that is given and must not be hurt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from outlive.errors import ConfigurationError

if TYPE_CHECKING:
    from outlive.demo.backups import Backups  # the command line has to start without all that it brings


class Fault(Enum):
    """What is done to the primary's node in the middle of the work."""

    POSTGRES = "postgres"
    NODE = "node"
    HOST = "host"
    SWITCHOVER = "switchover"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that was injected: into which node, and when (monotonic seconds)."""

    fault: Fault
    node: str
    at: float


class Environment(Protocol):
    """The database under the demo."""

    @property
    def description(self) -> str:
        """What it is, in a few words for the demo's first line; no password."""
        ...

    async def start(self) -> str:
        """Make sure that it answers, and return the DSN that clients connect to.

        Raises:
            ConfigurationError: it can't be started here, with the reason.
        """
        ...

    @property
    def backups(self) -> Backups | None:
        """The backups of a database that is the demo's own, to be asked for once it is started; None of any other."""
        ...

    async def inject(self, fault: Fault) -> Injection:
        """Do `fault` to the node that is the primary now; returns as soon as it is done, not when it is healed."""
        ...

    async def stop(self) -> None:
        """End what `start` began, and nothing else. May be called twice, and without a `start`."""
        ...


@dataclass(frozen=True, slots=True)
class GivenDatabase:
    """A database that somebody else runs (`--dsn`): it is used, never started, stopped or hurt."""

    dsn: str

    @property
    def description(self) -> str:
        """See `Environment`."""
        return "the database given by --dsn"

    async def start(self) -> str:
        """See `Environment`."""
        return self.dsn

    @property
    def backups(self) -> Backups | None:
        """See `Environment`."""
        return None

    def check(self, fault: Fault) -> None:
        """Refuse every fault: what the demo did not start it does not break.

        Raises:
            ConfigurationError: a fault is asked for.
        """
        if fault is not Fault.NONE:
            raise ConfigurationError(
                f"the fault {fault.value!r} can't be injected into a database given by --dsn",
                hint="Leave --dsn out to have a cluster of its own started and hurt, or say --fault none.",
            )

    async def inject(self, fault: Fault) -> Injection:
        """See `Environment`, and `check`."""
        self.check(fault)
        raise ConfigurationError("there is no fault to inject")

    async def stop(self) -> None:
        """Nothing was started."""
