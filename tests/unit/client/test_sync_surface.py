"""The two faces of the client don't drift apart; those of the stores: see `unit/stores/test_sync_surface.py`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import outlive.sync
from outlive import Cluster, Transaction
from outlive.client.coalesce import Writer
from outlive.sync import SyncCluster, SyncTransaction, SyncWriter

ASYNCHRONOUS_ONLY = {"start", "connection"}
"""`with` starts it; a driver's connection is bound to its event loop."""

INTERNAL = {
    "begin",
    "commit",
    "committed",
    "roll_back",
    "undo",
    "is_committed",
    "is_open",
    "belongs_to",
    "entered",
    "unanswered",
    "done",
}


def public(of: type) -> set[str]:
    """The names without an underscore."""
    return {name for name in dir(of) if not name.startswith("_")}


def taken(of: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The parameters of a call and their defaults."""
    return [(each.name, each.default) for each in inspect.signature(of).parameters.values()]


def test_every_call_of_the_client_is_there_without_asyncio() -> None:
    """What is added to one face is added to the other."""
    assert public(Cluster) - public(SyncCluster) == ASYNCHRONOUS_ONLY
    assert public(Writer) == public(SyncWriter) - {"asynchronous"}


def test_every_call_of_the_client_takes_the_same() -> None:
    """Each parameter with its default, those of `connect` too."""
    names = [name for name in public(Cluster) - ASYNCHRONOUS_ONLY if inspect.isfunction(getattr(Cluster, name))]
    assert {name: taken(getattr(SyncCluster, name)) for name in names} == {
        name: taken(getattr(Cluster, name)) for name in names
    }
    assert taken(outlive.sync.connect) == taken(outlive.connect)


def test_every_call_of_a_transaction_is_there_without_asyncio() -> None:
    """Its steps are the loop's own."""
    assert public(Transaction) - public(SyncTransaction) == INTERNAL
