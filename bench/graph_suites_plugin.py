"""A plugin for pytest that gives LangGraph's own tests our saver and store, in place of its own for PostgreSQL.

`graph_suites.py` runs it. The tests and their fixtures are as LangGraph has them: they ask its module of fixtures for a
saver, and find ours there. Each test has a database of its own, as LangGraph's do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any
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
    server, _, parameters = os.environ[DSN_VARIABLE].partition("?")
    return f"{server.rpartition('/')[0]}/{database}" + (f"?{parameters}" if parameters else "")


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


@contextmanager
def _saver() -> Iterator[OutliveSaver]:
    with _database() as dsn, outlive.sync.connect(dsn) as db:
        yield OutliveSaver(db)


@asynccontextmanager
async def _saver_aio() -> AsyncIterator[OutliveSaver]:
    with _database() as dsn:
        async with outlive.connect(dsn) as db:
            yield OutliveSaver(db)


@contextmanager
def _store() -> Iterator[OutliveStore]:
    with _database() as dsn, outlive.sync.connect(dsn) as db:
        yield OutliveStore(db)


@asynccontextmanager
async def _store_aio() -> AsyncIterator[OutliveStore]:
    with _database() as dsn:
        async with outlive.connect(dsn) as db:
            yield OutliveStore(db)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before LangGraph's `conftest` takes its savers by name, ours stand under these names."""
    sys.path.insert(0, str(early_config.rootpath))
    savers, stores = import_module("tests.conftest_checkpointer"), import_module("tests.conftest_store")
    vars(savers).update(_checkpointer_postgres=_saver, _checkpointer_postgres_aio=_saver_aio)
    vars(stores).update(_store_postgres=_store, _store_postgres_aio=_store_aio)


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
