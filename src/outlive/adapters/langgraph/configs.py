"""LangGraph's configurations as the words of the store, and back."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import get_checkpoint_id

from outlive.stores.graphs import Place, Wanted


def place_of(config: RunnableConfig) -> Place:
    """The thread and namespace that a configuration names."""
    named = config["configurable"]
    return Place(str(named["thread_id"]), named.get("checkpoint_ns") or "")


def config_of(place: Place, checkpoint: str) -> RunnableConfig:
    """The configuration that names a checkpoint."""
    return {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": checkpoint}}


def wanted(config: RunnableConfig | None, filter_: dict[str, Any] | None, before: RunnableConfig | None) -> Wanted:
    """What a listing asks for."""
    named: dict[str, Any] = {} if config is None else config["configurable"]
    return Wanted(
        thread=str(named["thread_id"]) if "thread_id" in named else None,
        ns=named.get("checkpoint_ns"),
        id=named.get("checkpoint_id") or None,
        before=None if before is None else get_checkpoint_id(before),
        filter=filter_ or None,
    )
