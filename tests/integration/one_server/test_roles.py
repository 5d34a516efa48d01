"""Each role may do what it is for, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from integration.one_server.using import use_everything
from outlive.errors import ConfigurationError, StateError
from outlive.stores import AgentState, migrate, roles

READ_ONLY = {"audit", "audit_heads", "migrations", "tenant_exemptions"}
Call = Callable[..., Awaitable[object]]
Login = Callable[[str], AbstractAsyncContextManager[outlive.Cluster]]


@pytest.fixture(scope="module")
async def granted(server: Servers, owner_dsn: str) -> str:
    """The module's database: its owner was let into the owner's role by an administrator, and made the rest."""
    await migrate(owner_dsn)
    with pytest.raises(ConfigurationError, match="may not make the roles") as refused:
        await roles.ensure(owner_dsn)
    for statement in refused.value.hint.split("\n")[1:]:
        await server.sql("n1", statement.strip().rstrip(";"))
    assert await roles.ensure(owner_dsn) == ()
    return owner_dsn


@pytest.fixture(scope="module")
def login(server: Servers, granted: str) -> Login:
    """Connect as a new role that is in nothing but one of the groups."""
    owner = urlsplit(granted).path.lstrip("/")

    @asynccontextmanager
    async def connect(group: str) -> AsyncIterator[outlive.Cluster]:
        user = f"{owner}_{group}"
        have = f"select count(*) from pg_roles where rolname = '{user}'"
        if not await server.sql("n1", have):
            await server.sql("n1", f"create role {user} login password 'p@ss/w:rd' in role {group}", "select 1")
        async with outlive.connect(server.dsn(user, ("n1",), owner), degraded="allow") as db:
            yield db

    return connect


async def _refused(db: outlive.Cluster, *statements: str) -> None:
    for sql in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(sql, idempotent=True)


async def test_the_app_does_everything_and_defines_nothing(login: Login) -> None:
    """Every store works; the tables can't be changed, nor what is in the audit log."""
    async with login("outlive_app") as db:
        await use_everything(db)
        await _refused(
            db, "create table outlive.x ()", "drop table outlive.turns", "alter table outlive.turns add x int",
            "truncate outlive.turns", "create schema x", "create index on outlive.turns (role)",
            "create function outlive.f() returns int return 1", "drop function outlive.netstring",
            "update outlive.audit set actor = 'x'", "delete from outlive.audit", "truncate outlive.audit",
            "insert into outlive.audit select * from outlive.audit", "update outlive.audit_heads set position = 0",
            "delete from outlive.audit_heads", "delete from outlive.migrations", "drop table outlive.events_default",
        )  # fmt: skip


async def test_the_app_may_use_every_table_there_is(login: Login) -> None:
    """Those of later migrations, too: few are not to be written."""
    sql = """
        select relname, has_table_privilege(oid, 'select') as reads,
            has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'update')
            and has_table_privilege(oid, 'delete') as writes
        from pg_class where relnamespace = 'outlive'::regnamespace and relkind in ('r', 'p')"""
    async with login("outlive_app") as db:
        tables = {row["relname"]: (row["reads"], row["writes"]) for row in await db.fetch(sql, read="strong")}
    assert tables == {name: (True, name not in READ_ONLY) for name in tables}
    assert tables.keys() >= READ_ONLY


async def test_the_reader_reads(login: Login) -> None:
    """Conversations and the audit log, and changes nothing."""
    async with login("outlive_app") as db:
        conversation = await AgentState(db).conversations.open("read me", worker="w")
        await conversation.append("t1", "user", "hello")
    async with login("outlive_reader") as db:
        state = AgentState(db)
        assert [turn.content for turn in (await state.conversations.load("read me")).turns] == ["hello"]
        assert (await state.audit.verify()).defects == ()
        await _refused(
            db, "insert into outlive.events (id, at, kind, attributes) values (gen_random_uuid(), now(), 'k', '1')",
            "update outlive.turns set role = 'x'", "delete from outlive.turns", "truncate outlive.turns",
            "create table outlive.x ()", "select outlive.append_audit('s', gen_random_uuid(), 'a', 'a', '', '1')",
        )  # fmt: skip


async def test_who_may_only_read_is_told_who_may_take_a_key(login: Login) -> None:
    """Whichever way the key goes with a transaction: nothing is applied, and the error says which role may."""

    async def nothing(_: outlive.Transaction) -> None:
        raise AssertionError("it was begun")

    two = ["select 1", "select 2"]
    async with login("outlive_reader") as db:
        for key in (outlive.new_key(), "mine"):
            calls: tuple[Call, ...] = (partial(db.run, nothing), partial(db.batch, two), partial(db.batch, two[:1]))
            for call in calls:
                with pytest.raises(StateError, match="this role may not do that: permission denied") as refused:
                    await call(key=key)
                assert refused.value.outcome is outlive.Outcome.NOT_APPLIED
                assert "outlive_app reads and writes" in refused.value.hint
        with pytest.raises(StateError, match="this role may not do that"):
            await db.expire_keys()


async def test_the_monitor_sees_how_much_and_not_what(login: Login) -> None:
    """Sizes and estimates of every table; no row of any, and no text of anybody's statement."""
    texts = "select count(*) from pg_stat_activity where usename <> current_user and query not like '<insufficient%'"
    async with login("outlive_app"), login("outlive_monitor") as db:
        rows = await db.fetch("select name, bytes from outlive.statistics", read="strong")
        assert {"turns", "conversations", "audit"} <= {row["name"] for row in rows}
        assert all(row["bytes"] >= 0 for row in rows)
        assert await db.fetchval("select max(version) from outlive.migrations", read="strong") > 0
        assert await db.fetchval(f"{texts} and query <> ''", read="strong") == 0
        await _refused(db, "select * from outlive.turns", "select * from outlive.audit", "select * from outlive.events")


async def test_a_superuser_locks_nobody_out(server: Servers) -> None:
    """Made by a superuser, the roles let in who owned the schema before."""
    name = "owned_before"
    await server.sql("n1", f"create role {name} login password 'p@ss/w:rd'", f"create database {name} owner {name}")
    dsn = server.dsn(name, ("n1",), name)
    await migrate(dsn)
    made = await roles.ensure(server.dsn(names=("n1",), database=name))
    assert f'GRANT outlive_owner TO "{name}"' in made
    async with outlive.connect(dsn, degraded="allow") as db:
        await use_everything(db)
        await AgentState(db).events.maintain()


async def test_the_former_owner_goes_on_as_before(granted: str) -> None:
    """It is a member of the owner's role: it migrates, maintains and uses the stores."""
    assert (await migrate(granted)).applied == ()
    async with outlive.connect(granted, degraded="allow") as db:
        await AgentState(db).events.maintain(30)
        await db.expire_keys()
        await db.execute("create table outlive.made_later (n int)")
        await db.execute("drop table outlive.made_later")


async def test_what_migrations_make_later_is_covered(granted: str, login: Login) -> None:
    """A table that the owner makes can be used by the app and read by the reader, without another grant."""
    async with outlive.connect(granted, degraded="allow") as db:
        async for tx in db.transaction():
            async with tx:
                await roles.act_as_owner(tx)
                await tx.execute("create table outlive.later (n int)")
    try:
        async with login("outlive_app") as db:
            await db.execute("insert into outlive.later values (1)")
        async with login("outlive_reader") as db:
            assert await db.fetchval("select n from outlive.later", read="strong") == 1
            await _refused(db, "delete from outlive.later")
    finally:
        async with outlive.connect(granted, degraded="allow") as db:
            await db.execute("drop table outlive.later")


async def test_functions_with_their_owners_rights_are_few_and_closed(granted: str) -> None:
    """Their search path is pinned, and who is not let in can't call them; all others run as their caller."""
    sql = """
        select proname, proconfig::text like '%search_path=pg_catalog, pg_temp%' as pinned,
            coalesce(proacl::text ~ '[{,]=X', true) as anybody
        from pg_proc where pronamespace = 'outlive'::regnamespace and prosecdef"""
    async with outlive.connect(granted, degraded="allow") as db:
        found = {row["proname"]: (row["pinned"], row["anybody"]) for row in await db.fetch(sql, read="strong")}
    assert found == dict.fromkeys(("make_key_day", "make_event_day", "append_audit"), (True, False))


async def test_the_command_says_what_an_administrator_has_to_run(server: Servers) -> None:
    """It ends with 2, and the schema is made all the same."""
    name = "stranger_to_roles"
    await server.sql("n1", f"create role {name} login password 'p@ss/w:rd'", f"create database {name} owner {name}")
    line = [sys.executable, "-m", "outlive.cli.main", "migrate", "--roles", "--dsn", server.dsn(name, ("n1",), name)]
    refused = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 2
    assert f'GRANT outlive_owner TO "{name}";' in refused.stderr
