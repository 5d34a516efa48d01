"""A fresh database for each module of the stores' tests, on the real cluster that they share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest

import outlive
from integration.conftest import RunningCluster
from outlive.cluster.plan.patroni_config import SUPERUSER
from outlive.stores import AgentState, migrate


@pytest.fixture(scope="module")
def database_name(request: pytest.FixtureRequest) -> str:
    """The name of a database that only this module uses."""
    module = re.sub(r"\W", "_", request.module.__name__.rsplit(".", 1)[-1])
    return f"{module}_{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
async def superuser_dsn(cluster: RunningCluster, database_name: str) -> str:
    """The module's database, made, as the superuser sees it."""
    spec, secrets = cluster.local.directory.load()
    login = f"{SUPERUSER}:{quote(secrets.superuser)}"
    async with outlive.connect(_dsn(cluster.dsn, login, "postgres")) as db, db.connection() as connection:
        await connection.execute(f'CREATE DATABASE "{database_name}" OWNER "{spec.app_user}"')
    return _dsn(cluster.dsn, login, database_name)


@pytest.fixture(scope="module")
async def database(cluster: RunningCluster, superuser_dsn: str) -> str:
    """The DSN of the module's database as its owner, the application's user; the schema is made."""
    dsn = _dsn(cluster.dsn, urlsplit(cluster.dsn).netloc.rpartition("@")[0], urlsplit(superuser_dsn).path.lstrip("/"))
    await migrate(dsn)
    return dsn


@pytest.fixture
async def db(database: str) -> AsyncIterator[outlive.Cluster]:
    """A client of that database."""
    async with outlive.connect(database) as client:
        yield client


@pytest.fixture
def state(db: outlive.Cluster) -> AgentState:
    """The stores."""
    return AgentState(db)


def _dsn(dsn: str, login: str, database: str) -> str:
    parts = urlsplit(dsn)
    hosts = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{login}@{hosts}", path=f"/{database}").geturl()
