"""A plugin for pytest that gives LangGraph's own tests our saver and store, in place of its own for PostgreSQL.

`graph_suites.py` runs it. The tests and their fixtures are as LangGraph has them: they ask its module of fixtures for a
saver, and find ours there. Each test has a database of its own, as LangGraph's do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

import outlive
import outlive.sync
from outlive.adapters.langgraph import OutliveSaver, OutliveStore

DSN_VARIABLE = "OUTLIVE_SUITES_DSN"
TEMPLATE = "template_of_suites"
OURS = {
    "sync_checkpointer": "postgres",
    "async_checkpointer": "postgres_aio",
    "sync_store": "postgres",
    "async_store": "postgres_aio",
}
"""Which parameter of LangGraph's fixtures is ours."""
ABSENT = {"cache": "redis"}
"""What a test may be repeated with that is not there."""


def dsn_of(database: str) -> str:
    """The DSN of another database of the same cluster."""
    return urlsplit(os.environ[DSN_VARIABLE])._replace(path=f"/{database}").geturl()


@contextmanager
def _database() -> Iterator[str]:
    name = f"suite_{uuid4().hex[:16]}"
    with psycopg.connect(os.environ[DSN_VARIABLE], autocommit=True) as connection:
        connection.execute(f"create database {name} template {TEMPLATE}")
    try:
        yield dsn_of(name)
    finally:
        with psycopg.connect(os.environ[DSN_VARIABLE], autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


def _given(make: Callable[[Any], object]) -> Callable[[], AbstractContextManager[object]]:
    """What LangGraph's fixtures enter for what is made over a synchronous client of a fresh database."""

    @contextmanager
    def given() -> Iterator[object]:
        with _database() as dsn, outlive.sync.connect(dsn) as db:
            yield make(db)

    return given


def _given_aio(make: Callable[[Any], object]) -> Callable[[], AbstractAsyncContextManager[object]]:
    """The same over an asynchronous one."""

    @asynccontextmanager
    async def given() -> AsyncIterator[object]:
        with _database() as dsn:
            async with outlive.connect(dsn) as db:
                yield make(db)

    return given


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before LangGraph's `conftest` takes its savers by name, ours stand under these names."""
    sys.path.insert(0, str(early_config.rootpath))
    savers, stores = import_module("tests.conftest_checkpointer"), import_module("tests.conftest_store")
    vars(savers).update(
        _checkpointer_postgres=_given(OutliveSaver), _checkpointer_postgres_aio=_given_aio(OutliveSaver)
    )
    vars(stores).update(_store_postgres=_given(OutliveStore), _store_postgres_aio=_given_aio(OutliveStore))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that are given something of ours, and nothing of another's."""
    mine = [item for item in items if _is_mine(getattr(item, "callspec", None))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine


def _is_mine(given: Any) -> bool:
    if given is None or any(given.params.get(name) == value for name, value in ABSENT.items()):
        return False
    asked = [name for name in OURS if name in given.params]
    return bool(asked) and all(given.params[name] == OURS[name] for name in asked)
