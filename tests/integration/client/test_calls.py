"""What a program sees of a healthy cluster."""

import asyncio

import asyncpg
import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from integration.client.waiting import all_known, in_force, until
from outlive.client.plan.begin import quoted
from outlive.model.topology import Role


async def test_every_node_is_known_by_its_role(db: outlive.Cluster) -> None:
    """One primary and two standbys of one cluster, on one timeline."""
    await all_known(db)
    nodes = db.topology.nodes
    assert sorted(node.role.value for node in nodes) == ["primary", "standby", "standby"]
    assert len({(node.system_identifier, node.timeline) for node in nodes}) == 1


async def test_eventual_reads_take_turns_on_the_standbys(db: outlive.Cluster, servers: Servers) -> None:
    """Two standbys share the reads, and the primary gets none."""
    await all_known(db)
    ports = [await db.fetchval("select inet_server_port()", read="eventual") for _ in range(6)]
    assert set(ports) == {servers.ports["n2"], servers.ports["n3"]}


async def test_a_strong_read_sees_the_write_before_it(db: outlive.Cluster, servers: Servers) -> None:
    """`read="strong"` is served by the primary."""
    await db.execute("insert into entries values (1, 'a')")
    assert await db.fetchval("select body from entries where id = $1", 1, read="strong") == "a"
    assert await db.fetchval("select inet_server_port()", read="strong") == servers.ports["n1"]


async def test_a_committed_block_has_a_receipt(db: outlive.Cluster, servers: Servers) -> None:
    """The receipt names the class, the node, the timeline and the standbys in force."""
    await until(lambda: in_force(db) == STANDBYS)
    async for tx in db.transaction():
        async with tx:
            await tx.execute("insert into entries values ($1, $2)", 1, "a")
    assert tx.receipt is not None
    assert tx.receipt.durability is outlive.Durability.CRITICAL
    assert tx.receipt.node == f"127.0.0.1:{servers.ports['n1']}"
    assert (tx.receipt.timeline, tx.receipt.attempts) == (1, 1)
    assert tx.receipt.synchronous_standbys == STANDBYS


@pytest.mark.parametrize(("durability", "level"), [("critical", "on"), ("regenerable", "local")])
async def test_the_class_travels_in_the_transaction(db: outlive.Cluster, durability: str, level: str) -> None:
    """`synchronous_commit` is set for the transaction alone."""
    async for tx in db.transaction(durability=durability):  # type: ignore[arg-type]
        async with tx:
            assert await tx.fetchval("show synchronous_commit") == level
    assert await db.fetchval("show synchronous_commit", read="strong") == "on"


async def test_the_isolation_asked_for_is_in_force(db: outlive.Cluster) -> None:
    """`isolation=` reaches the server."""
    async for tx in db.transaction(isolation="serializable"):
        async with tx:
            assert await tx.fetchval("show transaction_isolation") == "serializable"


async def test_the_callers_own_error_rolls_back_and_passes_through(db: outlive.Cluster) -> None:
    """An exception of the block is raised untouched, and nothing of the block stays."""

    async def fail() -> None:
        async for tx in db.transaction():
            async with tx:
                await tx.execute("insert into entries values (1, 'a')")
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await db.fetchval("select count(*) from entries", read="strong") == 0


async def test_a_timeout_of_the_blocks_own_is_not_taken_for_a_lost_connection(db: outlive.Cluster) -> None:
    """A TimeoutError of the caller's, like that of an LLM, is not retried."""
    runs = 0

    async def fail(_tx: outlive.Transaction) -> None:
        nonlocal runs
        runs += 1
        raise TimeoutError("the model did not answer")

    with pytest.raises(TimeoutError, match="the model"):
        await db.run(fail)
    assert runs == 1


async def test_sql_errors_pass_through(db: outlive.Cluster) -> None:
    """A constraint's violation is the driver's own exception, once."""
    await db.execute("insert into entries values (1, 'a')")

    async def insert() -> None:
        async for tx in db.transaction():
            async with tx:
                await tx.execute("insert into entries values (1, 'c')")

    with pytest.raises(asyncpg.UniqueViolationError):
        await db.execute("insert into entries values (1, 'b')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert()


async def test_a_swallowed_sql_error_is_no_commit(db: outlive.Cluster) -> None:
    """A block that hides a failed statement can't be committed, and is told so."""

    async def swallow(tx: outlive.Transaction) -> None:
        with pytest.raises(asyncpg.UndefinedTableError):
            await tx.execute("insert into missing values (1)")

    with pytest.raises(outlive.TransactionError, match="rolled back") as raised:
        await db.run(swallow)
    assert raised.value.outcome is outlive.Outcome.NOT_APPLIED


async def test_a_conflict_is_retried(db: outlive.Cluster) -> None:
    """A serialization failure runs the function again, and the second attempt commits."""
    await db.execute("insert into entries values (1, '0')")
    attempts = 0

    async def increment(tx: outlive.Transaction) -> str:
        nonlocal attempts
        attempts += 1
        body = await tx.fetchval("select body from entries where id = 1")
        if attempts == 1:
            await db.execute("update entries set body = '10' where id = 1")
        await tx.execute("update entries set body = $1 where id = 1", str(int(body) + 1))
        return str(tx)

    await db.run(increment, isolation="serializable")
    assert attempts == 2
    assert await db.fetchval("select body from entries where id = 1", read="strong") == "11"


async def test_run_returns_what_the_function_returned(db: outlive.Cluster) -> None:
    """Arguments go in, the result comes out."""

    async def add(tx: outlive.Transaction, key: int, body: str) -> str:
        return str(await tx.fetchval("insert into entries values ($1, $2) returning body", key, body))

    assert await db.run(add, 7, "seven") == "seven"


async def test_leaving_the_loop_early_commits_and_gives_the_connection_back(db: outlive.Cluster) -> None:
    """`return` and `break` inside the block commit like its end does."""

    async def early(key: int) -> str:
        async for tx in db.transaction():
            async with tx:
                await tx.execute("insert into entries values ($1, 'x')", key)
                return "left"
        return "ended"

    for key in range(25):
        assert await early(key) == "left"
    assert await db.fetchval("select count(*) from entries", read="strong") == 25


async def test_a_raw_connection_is_handed_out_clean(db: outlive.Cluster, servers: Servers) -> None:
    """What one user of `connection` sets, the next one does not see."""
    async with db.connection() as connection:
        assert await connection.fetchval("select inet_server_port()") == servers.ports["n1"]
        await connection.execute("set work_mem = '77MB'")
    assert await db.fetchval("show work_mem", read="strong") != "77MB"


async def test_a_raw_connection_with_an_open_transaction_is_dropped(db: outlive.Cluster) -> None:
    """A transaction left open is rolled back."""
    async with db.connection() as connection:
        await connection.execute("begin")
        await connection.execute("insert into entries values (1, 'a')")
    assert await db.fetchval("select count(*) from entries", read="strong") == 0


async def test_the_primary_can_be_waited_for(db: outlive.Cluster, servers: Servers) -> None:
    """`wait_primary` returns the facts of the node that takes writes."""
    facts = await db.wait_primary()
    assert (facts.role, facts.address.port) == (Role.PRIMARY, servers.ports["n1"])


async def test_reads_are_served_by_an_unprivileged_role(db: outlive.Cluster, servers: Servers) -> None:
    """A role without any privilege can follow the cluster, and write critical data."""
    await db.execute("drop role if exists plain")
    await db.execute("create role plain login password 'p@ss/w:rd'")
    async with outlive.connect(servers.dsn(user="plain")) as plain:
        assert await plain.fetchval("select current_user", read="strong") == "plain"
        await until(lambda: in_force(plain) == STANDBYS)
        async for tx in plain.transaction():
            async with tx:
                await tx.execute("create temporary table t (x int)")
        assert tx.receipt is not None
        assert tx.receipt.synchronous_standbys == STANDBYS


async def test_a_write_sent_as_a_read_is_refused_at_once(db: outlive.Cluster) -> None:
    """An eventual read goes to a standby, which says that it is read-only."""
    await all_known(db)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await db.fetchval("insert into entries values (1, 'a') returning id", read="eventual")


async def test_a_loop_without_its_block_is_refused(db: outlive.Cluster) -> None:
    """Forgetting `async with tx` is an error, not an endless loop."""

    async def forgetful() -> None:
        async for tx in db.transaction():
            assert tx.receipt is None

    with pytest.raises(outlive.ConfigurationError, match="not entered"):
        await forgetful()


async def test_a_transaction_is_no_use_outside_its_block(db: outlive.Cluster) -> None:
    """What is kept of a transaction after its end is refused."""
    async for tx in db.transaction():
        async with tx:
            await tx.execute("insert into entries values (1, 'a')")
    with pytest.raises(outlive.ConfigurationError, match="not open"):
        await tx.execute("select 1")
    with pytest.raises(outlive.ConfigurationError, match="entered before"):
        await tx.__aenter__()


async def test_a_statement_still_running_at_the_end_of_the_block_rolls_back(db: outlive.Cluster) -> None:
    """A block that ends while a task of its own still uses the connection does not poison the pool."""

    running: list[asyncio.Future[str]] = []

    async def careless(tx: outlive.Transaction) -> None:
        await tx.execute("insert into entries values (1, 'a')")
        running.append(asyncio.ensure_future(tx.execute("select pg_sleep(60)")))
        await asyncio.sleep(0)

    with pytest.raises(asyncpg.InterfaceError, match="in progress"):
        await db.run(careless)
    [lost] = await asyncio.gather(*running, return_exceptions=True)
    assert isinstance(lost, asyncpg.PostgresConnectionError | asyncpg.InterfaceError)
    assert await db.fetchval("select count(*) from entries", read="strong") == 0


@pytest.mark.parametrize("conforming", ["on", "off"])
async def test_a_quoted_text_reaches_the_server_as_it_is(db: outlive.Cluster, conforming: str) -> None:
    """Whatever stands in a text, it stays inside its string constant."""
    texts = ["", "'", "''", "\\", "\\'", "'; drop table entries; --", "$$", "\n\t", "\U0001f418 é \u202e", "E'x'"]
    async with db.connection() as connection:
        if await connection.fetchval("show server_version_num") < "190000":
            await connection.execute(f"set standard_conforming_strings = {conforming}")
        for text in texts:
            assert await connection.fetchval(f"select {quoted(text)}::text") == text
