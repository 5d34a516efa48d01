"""Tenants in one database see and write their own rows, in every table, and nothing without a name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner, Result

import outlive
from integration.client.servers import Servers
from integration.one_server.using import use_everything
from outlive.cli.app import app
from outlive.errors import ConfigurationError, KeyReusedError, NotFoundError, StateError
from outlive.model.freshness import FreshnessName
from outlive.stores import AgentState, NewDocument, migrate, roles, tenants
from outlive.stores.queries import known_migrations, queries

TABLES = "select id::text as name, is_partition from outlive.tenant_tables()"


@pytest.fixture(scope="module")
async def database(owner_dsn: str) -> str:
    """The module's database, with its schema and with tenants kept apart."""
    await migrate(owner_dsn)
    assert await tenants.enable(owner_dsn) > 10
    return owner_dsn


@pytest.fixture
async def another(server: Servers) -> AsyncIterator[str]:
    """A database of the test's own, with its schema and no tenants yet."""
    name = f"another_{uuid4().hex[:8]}"
    await server.sql("n1", f"create role {name} login password 'p@ss/w:rd'", f"create database {name} owner {name}")
    dsn = server.dsn(name, ("n1",), name)
    await migrate(dsn)
    yield dsn
    await server.sql("n1", f"drop database {name} with (force)", f"drop role {name}")


async def _neither_separated_nor_exempt(superuser: asyncpg.Connection) -> set[str]:
    rows = await superuser.fetch("""
        select coalesce(c.relname, e.name) as name, coalesce(e.reason, '') as reason, c.oid is null as stale,
            c.relrowsecurity and c.relforcerowsecurity and exists (
                select from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant'
            ) and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant') as separate
        from (select * from pg_class where relnamespace = 'outlive'::regnamespace and relkind in ('r', 'p')) c
        join pg_class root on root.oid = coalesce(pg_partition_root(c.oid), c.oid)
        full join outlive.tenant_exemptions e on e.name = root.relname
    """)
    assert len(rows) > 20
    return {row["name"] for row in rows if bool(row["reason"]) == bool(row["separate"]) or row["stale"]}


async def test_the_shell_acts_for_a_tenant(database: str, db: outlive.Cluster) -> None:
    """It shows that tenant's conversations alone, and without a tenant says why it shows nothing."""
    await AgentState(db.as_tenant("shell")).conversations.create(["of-the-shell"])

    def said(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["state", *arguments, "--dsn", database])

    assert "of-the-shell" in (await asyncio.to_thread(said, "--tenant", "shell", "list")).stdout
    assert "of-the-shell" not in (await asyncio.to_thread(said, "--tenant", "other", "list")).stdout
    nobody = await asyncio.to_thread(said, "audit", "verify")
    assert "--tenant NAME" in nobody.stderr
    bad = await asyncio.to_thread(said, "--tenant", "", "list")
    assert bad.exit_code == 2


async def test_every_table_is_separated_or_exempt_with_a_reason(superuser: asyncpg.Connection) -> None:
    """A new table in the schema is separated, or named in `outlive.tenant_exemptions`; no exemption is left over."""
    assert await _neither_separated_nor_exempt(superuser) == set()


async def test_a_table_that_is_neither_is_found(superuser: asyncpg.Connection) -> None:
    """The test above fails for a forgotten table, for one whose owner is excepted, and for a stale exemption."""
    transaction = superuser.transaction()
    await transaction.start()
    await superuser.execute("create table outlive.forgotten (n int)")
    await superuser.execute("alter table outlive.turns no force row level security")
    await superuser.execute("insert into outlive.tenant_exemptions values ('gone', 'there is no such table')")
    assert await _neither_separated_nor_exempt(superuser) == {"forgotten", "turns", "gone"}
    await transaction.rollback()


async def test_what_is_unique_is_unique_for_each_tenant(superuser: asyncpg.Connection) -> None:
    """No name that a caller chooses is taken by another tenant's."""
    rows = await superuser.fetch("""
        select i.indexrelid::regclass::text as name
        from pg_index i join outlive.tenant_tables() t on t.id = i.indrelid
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indisunique and a.atttypid in ('text'::regtype, 'bytea'::regtype) and a.attname <> 'tenant'""")
    assert [row["name"] for row in rows] == []


async def test_tenants_use_everything_under_the_same_names(db: outlive.Cluster) -> None:
    """Conversations, tasks, threads of one id: each tenant finds its own, and no other's."""
    acme, zeta = db.as_tenant("acme"), db.as_tenant("ze'ta\\")
    await use_everything(acme, "acme's")
    await use_everything(zeta, "zeta's")
    for row in await db.fetch(TABLES, read="strong"):
        count = f"select count(*) from {row['name']}"
        assert await db.fetchval(count, read="strong") == 0
        for tenant, name in ((acme, "acme"), (zeta, "ze'ta\\")):
            assert await tenant.fetchval(f"{count} where tenant <> $1", name, read="strong") == 0
    assert await acme.fetchval("select count(*) from outlive.turns", read="strong") == 2


async def test_without_a_tenant_nothing_is_written(db: outlive.Cluster) -> None:
    """The error says which client to use; nothing of it is there."""
    state = AgentState(db)
    writes = (
        lambda: state.conversations.open("c", worker="w"),
        lambda: state.events.append([state.events.new("k")]),
        lambda: state.audit.record("a", actor="w"),
        lambda: state.context.add("s", ["x"]),
        lambda: state.tasks.enqueue("q", 1),
    )
    for write in writes:
        with pytest.raises(StateError) as refused:
            await write()
        assert "as_tenant" in refused.value.hint
    with pytest.raises(NotFoundError):
        await state.conversations.load("c")


@pytest.mark.parametrize("read", ["strong", "session", "eventual"])
async def test_every_way_to_read_sees_one_tenant(db: outlive.Cluster, read: FreshnessName) -> None:
    """Reads outside a transaction, in one, and after one: what another caller set is never left behind."""
    acme = db.as_tenant("reads")
    await AgentState(acme).events.append([AgentState(acme).events.new("k")])
    count = "select count(*) from outlive.events where kind = 'k'"
    for _ in range(3):
        assert await acme.fetchval(count, read=read) >= 1
        assert await db.fetchval(count, read=read) == 0
        assert await db.as_tenant("nobody").fetchval(count, read=read) == 0
    async for tx in acme.transaction():
        async with tx:
            assert await tx.fetchval(count) >= 1
    async for tx in db.transaction():
        async with tx:
            assert await tx.fetchval(count) == 0
    with pytest.raises(asyncpg.DivisionByZeroError):
        await acme.fetchval("select 1/0", read=read)
    async with db.connection() as connection:
        assert await connection.fetchval(count) == 0


async def test_every_way_to_write_writes_for_one_tenant(db: outlive.Cluster) -> None:
    """A statement, a batch, a writer, a transaction: and another tenant's row is not to be written."""
    acme = db.as_tenant("writes")
    insert = "insert into outlive.app_states (app, user_id, state) values ($1, 'u', '{}')"
    await acme.execute(insert, "execute")
    await acme.batch([(insert, ["batch"])], key=outlive.new_key())
    await acme.batch([(insert, ["batch of two"]), (insert, ["of two"])])
    async with await acme.writer("outlive.app_states", ["app", "user_id", "state"]) as writer:
        await writer.append("writer", "u", "{}")
    async for tx in acme.transaction():
        async with tx:
            await tx.execute(insert, "transaction")
    apps = await acme.fetch("select app from outlive.app_states order by app", read="strong")
    assert [row["app"] for row in apps] == ["batch", "batch of two", "execute", "of two", "transaction", "writer"]
    assert await db.as_tenant("other").fetchval("select count(*) from outlive.app_states", read="strong") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await acme.execute("insert into outlive.app_states (tenant, app, user_id, state) values ('x', 'a', 'u', '{}')")
    assert await db.as_tenant("other").execute("delete from outlive.app_states") == "DELETE 0"


async def test_a_key_of_another_tenant_gives_nothing_away(db: outlive.Cluster) -> None:
    """The same key for the same request of another tenant is refused, instead of being answered with its result."""
    assert await db.as_tenant("a").run(_secret, key="the key") == 42
    assert await db.as_tenant("a").run(_secret, key="the key") == 42
    with pytest.raises(KeyReusedError):
        await db.as_tenant("b").run(_secret, key="the key")


async def _secret(tx: outlive.Transaction) -> int:
    return int(await tx.fetchval("select 42"))


async def test_events_of_all_tenants_move_and_expire(db: outlive.Cluster, superuser: asyncpg.Connection) -> None:
    """A day's partition takes what lies in the default one of every tenant, and retention deletes it of every one."""
    now = datetime.now(UTC)
    day, old = now + timedelta(days=4), now - timedelta(days=400)
    await superuser.execute(f"drop table if exists outlive.events_{day:%Y%m%d}")
    row = (
        "insert into outlive.events (tenant, id, at, kind, attributes) values ($1, gen_random_uuid(), $2, 'moved', '1')"
    )
    for name in ("a", "b"):
        await superuser.execute(row, name, day)
        await superuser.execute(row, name, old)
    done = await AgentState(db).events.maintain(30)
    assert done.events_deleted == 2
    partition = f"outlive.events_{day:%Y%m%d}"
    assert await superuser.fetchval(f"select count(*) from {partition} where kind = 'moved'") == 2
    assert await db.fetchval(f"select count(*) from {partition}", read="strong") == 0
    assert await db.as_tenant("a").fetchval(f"select count(*) from {partition}", read="strong") == 1
    assert await AgentState(db.as_tenant("b")).events.count() == {"moved": 1}


async def test_embeddings_are_separated_too(db: outlive.Cluster, superuser: asyncpg.Connection) -> None:
    """A table that is made later is a tenant's like the others."""
    await superuser.execute("create extension if not exists vector schema public")
    await AgentState(db).context.enable_vectors(2)
    for name in ("a", "b"):
        context = AgentState(db.as_tenant(name)).context
        await context.add("s", [NewDocument(f"of {name}", embedding=[1, 0])])
        assert [found.document.content for found in await context.search([1, 0])] == [f"of {name}"]
    assert await AgentState(db).context.search([1, 0]) == ()


async def test_what_is_kept_already_needs_an_owner(another: str) -> None:
    """Rows of no tenant are refused until it is said whose they are; the audit log stays whole."""
    async with outlive.connect(another, degraded="allow") as db:
        await use_everything(db)
        with pytest.raises(ConfigurationError, match="belong to no tenant"):
            await tenants.enable(db)
        assert len((await AgentState(db).conversations.list()).conversations) == 2
        await tenants.enable(db, existing="first")
        await tenants.enable(db)
        assert (await AgentState(db).conversations.list()).conversations == ()
        first = AgentState(db.as_tenant("first"))
        assert len((await first.conversations.list()).conversations) == 2
        assert (await first.events.count())["kind of mine"] == 2
        await first.audit.record("after", actor="w")
        assert (await first.audit.verify()).defects == ()
        await use_everything(db.as_tenant("second"))
        assert (await migrate(another)).applied == ()


async def test_a_table_that_was_forgotten_is_found(another: str, server: Servers) -> None:
    """Said again, it separates what has been made since; that is what a migration does at its end."""
    await tenants.enable(another)
    async with outlive.connect(another, degraded="allow") as db:
        await db.execute("create table outlive.made_since (name text primary key)")
        await tenants.enable(db)
        await db.as_tenant("a").execute("insert into outlive.made_since values ('x')")
        await db.as_tenant("b").execute("insert into outlive.made_since values ('x')")
        assert await db.fetchval("select count(*) from outlive.made_since", read="strong") == 0
    name = urlsplit(another).path.lstrip("/")
    connection = await asyncpg.connect(server.dsn(names=("n1",), database=name))
    assert await connection.fetchval("select count(*) from outlive.made_since") == 2
    await connection.close()


async def test_a_migration_works_on_all_tenants(db: outlive.Cluster, superuser: asyncpg.Connection) -> None:
    """It sees every row while it is at it; before and after, and in what it made, tenants are kept apart."""
    for name in ("a", "b"):
        await AgentState(db.as_tenant(name)).preferences.set("migrated", "key", name)
    async for tx in db.transaction():
        async with tx:
            async with tenants.lifted(tx):
                made = "create table outlive.made as select tenant, subject from outlive.preferences where subject = $1"
                await tx.execute(made.replace("$1", "'migrated'"))
            assert await tx.fetchval("select count(*) from outlive.made") == 0
    assert await superuser.fetchval("select count(*) from outlive.made") == 2
    assert await db.as_tenant("a").fetchval("select count(*) from outlive.made", read="strong") == 1
    assert await _neither_separated_nor_exempt(superuser) == set()
    await superuser.execute("drop table outlive.made")


async def test_later_migrations_are_brought_in_line(another: str, server: Servers) -> None:
    """Tenants were separated when there was less: what has come since is separated, and its functions work."""
    known = known_migrations()
    then = next(n for n, migration in enumerate(known) if migration.name == "tenants")
    superuser = await asyncpg.connect(server.dsn(names=("n1",), database=urlsplit(another).path.lstrip("/")))
    await superuser.execute("drop schema outlive cascade")
    await superuser.close()
    async with outlive.connect(another, degraded="allow") as db, db.connection() as connection:
        await connection.execute(queries("migrations")["prepare"])
        for migration in known[: then + 1]:
            await connection.execute(migration.sql)
            record = (migration.version, migration.name, migration.checksum)
            await connection.execute(queries("migrations")["record"], *record)
        await tenants.enable(db)
    assert len((await migrate(another)).applied) == len(known) - then - 1
    async with outlive.connect(another, degraded="allow") as db:
        await use_everything(db.as_tenant("a"), "of a")
        await use_everything(db.as_tenant("b"), "of b")
        assert (await AgentState(db).conversations.list()).conversations == ()


async def test_a_program_with_the_apps_rights_acts_for_tenants(another: str, server: Servers) -> None:
    """Least privilege and tenants together: everything works, the partition of a new day too, and stays apart."""
    name = urlsplit(another).path.lstrip("/")
    await roles.ensure(server.dsn(names=("n1",), database=name))
    await tenants.enable(another)
    user = f"{name}_app"
    await server.sql("n1", f"create role {user} login password 'p@ss/w:rd' in role outlive_app", "select 1")
    async with outlive.connect(server.dsn(user, ("n1",), name), degraded="allow") as db:
        await use_everything(db.as_tenant("a"), "of a")
        await use_everything(db.as_tenant("b"), "of b")
        assert await AgentState(db).events.count() == {}
    await server.sql("n1", f"drop role {user}", "select 1")


async def test_a_tenant_has_a_name(db: outlive.Cluster) -> None:
    """An empty one, one with a NUL or none at all is refused before anything is touched; closing it closes nothing."""
    for name in ("", "a\0b", None, "x" * 501):
        with pytest.raises(ConfigurationError):
            db.as_tenant(name)  # type: ignore[arg-type]
    async with db.as_tenant("a") as acting:
        await acting.fetchval("select 1")
    assert await acting.as_tenant("b").fetchval("select current_setting('outlive.tenant')", read="strong") == "b"


async def test_the_command_separates_tenants(another: str) -> None:
    """It says in how many tables."""
    line = [sys.executable, "-m", "outlive.cli.main", "migrate", "--tenants", "--dsn", another]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Tenants are kept apart in" in done.stdout
