"""Which durability class each store writes with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from outlive.client import options
from outlive.client.options import DurabilityName
from outlive.errors import ConfigurationError
from outlive.model import nearest
from outlive.model.durability import Durability

StoreName = Literal[
    "conversations",
    "checkpoints",
    "histories",
    "app_sessions",
    "tasks",
    "preferences",
    "llm_cache",
    "context",
    "events",
    "audit",
]
Classes = Mapping[StoreName, Durability | DurabilityName]

DEFAULT_CLASSES: Mapping[StoreName, Durability] = MappingProxyType(
    {
        "conversations": Durability.CRITICAL,  # with their turns, checkpoints and tool calls, shared ones too
        "checkpoints": Durability.CRITICAL,
        "histories": Durability.CRITICAL,
        "app_sessions": Durability.CRITICAL,
        "tasks": Durability.CRITICAL,
        "preferences": Durability.CRITICAL,
        "llm_cache": Durability.REGENERABLE,
        "context": Durability.REGENERABLE,
        "events": Durability.REGENERABLE,
        "audit": Durability.REGENERABLE,
    }
)
"""What a failover may lose of each store, unless told otherwise: nothing, or the last moments."""


def resolve_classes(moved: Classes | None) -> Mapping[StoreName, Durability]:
    """The class of every store, those of `moved` in place of their defaults.

    Raises:
        ConfigurationError: there is no such store, or no such class.
    """
    resolved = dict(DEFAULT_CLASSES)
    for store, wanted in (moved or {}).items():
        if store not in DEFAULT_CLASSES:
            fallback = f"The stores are: {', '.join(DEFAULT_CLASSES)}."
            hint = nearest.hint(str(store), DEFAULT_CLASSES, fallback)
            raise ConfigurationError(f"there is no store {store!r} to give a durability class", hint=hint)
        try:
            resolved[store] = options.durability(wanted)
        except ConfigurationError as error:
            raise ConfigurationError(f"the store {store!r}: {error}", hint=error.hint) from None
    return MappingProxyType(resolved)
