"""Agents' states, preferences, retrieved context and cached answers, without asyncio."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from outlive.stores.agent_states import AgentStates
from outlive.stores.context import Context
from outlive.stores.llm_cache import LlmCache
from outlive.stores.preferences import Preferences
from outlive.sync import Face, Limit, like, through

T = TypeVar("T")
D = TypeVar("D")


class SyncAgentStates(Face[AgentStates]):
    """`AgentStates` for programs without asyncio: its calls take and return the same."""

    save = through(AgentStates.save)
    load = through(AgentStates.load)
    prune = through(AgentStates.prune)


class SyncPreferences(Face[Preferences]):
    """`outlive.stores.Preferences` for programs without asyncio: its calls take and return the same."""

    set = through(Preferences.set)
    delete = through(Preferences.delete)
    find = through(Preferences.find)
    all = through(Preferences.all)
    history = through(Preferences.history)
    erase = through(Preferences.erase)

    @overload
    def get(self, subject: str, key: str, *, type: type[T]) -> T | None: ...

    @overload
    def get(self, subject: str, key: str, *, type: type[T], default: D) -> T | D: ...

    @overload
    def get(self, subject: str, key: str, *, default: Any = None) -> Any: ...

    @like(Preferences.get)
    def get(  # noqa: D102 - what the asynchronous one says
        self,
        subject: str,
        key: str,
        *,
        type: Any = Any,  # noqa: A002
        default: Any = None,
    ) -> Any:
        return self._portal.call(self._inner.get(subject, key, type=type, default=default))


class SyncLlmCache(Face[LlmCache]):
    """`outlive.stores.LlmCache` for programs without asyncio: its calls take and return the same.

    What `get_or_compute` is given runs in the calling thread.
    """

    wait_s = Limit(LlmCache, lambda cache: cache.wait_s, "See `LlmCache.wait_s`.")

    get_or_compute = through(LlmCache.get_or_compute, asks=("fn", "cost"))
    find = through(LlmCache.find)
    forget = through(LlmCache.forget)
    evict = through(LlmCache.evict)


class SyncContext(Face[Context]):
    """`outlive.stores.Context` for programs without asyncio: its calls take and return the same."""

    enable_vectors = through(Context.enable_vectors)
    add = through(Context.add)
    get = through(Context.get)
    delete = through(Context.delete)
    search = through(Context.search)
    search_text = through(Context.search_text)
    expire = through(Context.expire)
