"""What is to be done outside the database, as tasks that are recorded with the turn or result that asks for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outlive.stores.encoding import digest
from outlive.stores.task_records import NewTask, task_columns

Effects = Sequence[NewTask] | Callable[[Any], Sequence[NewTask]]
"""The effects of a tool call, or what says them of its result."""


@dataclass(frozen=True, slots=True)
class EffectColumns:
    """Effects that were found fit to be stored, column by column."""

    columns: tuple[list[Any], ...]

    @classmethod
    def of(cls, effects: Sequence[NewTask], max_value_bytes: int, *origin: str) -> EffectColumns:
        """Check every effect; one without a key gets that of its place in what it comes from, named by `origin`.

        So it has the same key however often it is recorded and delivered, and no other effect has it.

        Raises:
            UnstorableError: something of an effect can't be kept as it is.
            KeyReusedError: two of them share queue and key.
        """
        keyed = [
            replace(effect, key=digest(json.dumps([*origin, place])).hex()) if effect.key is None else effect
            for place, effect in enumerate(effects)
        ]
        return cls(task_columns(keyed, max_value_bytes))

    @property
    def queues(self) -> list[str]:
        """Whose workers have something to do."""
        return self.columns[0]
