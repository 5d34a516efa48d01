"""Events as log entries of structlog: the name in snake case, the fields by their names.

outlive.connect(dsn, telemetry=StructlogHook())
"""

from __future__ import annotations

import re
from dataclasses import fields
from enum import Enum
from typing import Any, Protocol

import structlog

from outlive.model.topology import Address, Topology
from outlive.telemetry.events import (
    AttemptFinished,
    AttemptStarted,
    DurabilityDegraded,
    Event,
    PoolWaited,
    PrimaryLost,
    TaskClaimed,
    TaskEnded,
    TaskLost,
    TasksEnqueued,
)


class _Logger(Protocol):
    def log(self, level: int, event: str, **fields: Any) -> Any: ...


_DEBUG, _INFO, _WARNING = 10, 20, 30


class StructlogHook:
    """Logs attempts that went well at debug, failures and losses as warnings, the rest as info."""

    def __init__(self, logger: _Logger | None = None) -> None:
        self._logger = logger if logger is not None else structlog.get_logger("outlive")

    def __call__(self, event: Event) -> None:
        """Log the event."""
        entry = {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        self._logger.log(_level(event), name, **{key: value for key, value in entry.items() if value is not None})


def _level(event: Event) -> int:
    match event:
        case AttemptFinished(failed=True) | PrimaryLost() | DurabilityDegraded() | PoolWaited(served=False):
            return _WARNING
        case TaskEnded(end="failed" | "dead") | TaskLost():
            return _WARNING
        case AttemptStarted() | AttemptFinished() | PoolWaited() | TasksEnqueued() | TaskClaimed() | TaskEnded():
            return _DEBUG
        case _:
            return _INFO


def _plain(value: object) -> object:
    match value:
        case Address():
            return str(value)
        case Enum():
            return value.value
        case Topology(nodes, silent):
            roles = {str(node.address): f"{node.role.value} on timeline {node.timeline}" for node in nodes}
            return roles | {str(silence.address): f"silent: {silence.reason}" for silence in silent}
        case _:
            return value
