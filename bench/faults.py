"""`make bench-faults`: each fault on a real cluster of three nodes under load, and what held.

python bench/faults.py --fault node --json faults.json

Tasks write numbered rows, some by `run` with a key and some by a transaction without, and others read. What each
caller was told is kept outside the database and held against what the primary holds once the cluster is whole again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import asyncpg

import outlive
from outlive.history import WritesVerdict, check_writes
from outlive.model.topology import Address
from outlive.stores import migrate
from outlive.testing import LocalCluster

STEADY_S = 1.5
RESUME_LIMIT_S = 90.0
CALL_TIMEOUT_S = 60.0
INSERT = "INSERT INTO fault_log VALUES ($1)"
README = Path(__file__).parents[1] / "README.md"
PAGE = README.parent / "docs/explanation/faults.md"
MARKS = re.compile(r"(<!-- faults: .*? -->\n).*?(<!-- /faults -->)", re.DOTALL)


@dataclass(slots=True)
class Account:
    """What callers were told: of each write its outcome, of each error its kind, and when a call last succeeded."""

    told: list[tuple[int, outlive.Outcome]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    written_at: list[float] = field(default_factory=list)
    read_at: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """One fault: the verdict, what callers saw, and the longest time in seconds that no write or read succeeded."""

    fault: str
    verdict: WritesVerdict
    seen: dict[str, int]
    write_outage_s: float
    read_outage_s: float


@dataclass(slots=True)
class Load:
    """Callers at work until `stop`."""

    db: outlive.Cluster
    account: Account
    numbers: count[int]
    stopped: bool = False
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    async def keyed(self) -> None:
        """Rows by `run` with a key."""
        await self._write("run", lambda n: self.db.run(_insert, n, key=outlive.new_key(), timeout=CALL_TIMEOUT_S))

    async def plain(self) -> None:
        """Rows by a transaction without a key."""
        await self._write("transaction", self._transaction)

    async def _transaction(self, number: int) -> None:
        async for tx in self.db.transaction(timeout=CALL_TIMEOUT_S):
            async with tx:
                await tx.execute(INSERT, number)

    async def _write(self, name: str, write: Callable[[int], Awaitable[object]]) -> None:
        while not self.stopped:
            number, outcome = next(self.numbers), outlive.Outcome.APPLIED
            try:
                await write(number)
            except outlive.OutliveError as error:
                outcome = error.outcome
                self.account.seen[f"{name}: {type(error).__name__} ({outcome.value})"] += 1
            else:
                self.account.written_at.append(time.monotonic())
                self.wrote.set()
            self.account.told.append((number, outcome))

    async def read(self) -> None:
        """Reads of the session's kind."""
        while not self.stopped:
            try:
                await self.db.fetchval("SELECT 1 FROM fault_log LIMIT 1", timeout=CALL_TIMEOUT_S)
            except outlive.OutliveError as error:
                self.account.seen[f"read: {type(error).__name__}"] += 1
            else:
                self.account.read_at.append(time.monotonic())
                await asyncio.sleep(0.002)


async def _insert(tx: outlive.Transaction, number: int) -> None:
    await tx.execute(INSERT, number)


async def _kill_postgres(cluster: LocalCluster, _load: Load) -> None:
    cluster.kill_postgres(await cluster.primary())


async def _kill_node(cluster: LocalCluster, _load: Load) -> None:
    cluster.kill_node(await cluster.primary())


async def _kill_host(cluster: LocalCluster, _load: Load) -> None:
    cluster.kill_host(await cluster.primary())


async def _kill_patroni(cluster: LocalCluster, _load: Load) -> None:
    cluster.kill_patroni(await cluster.primary())


async def _switch_over(cluster: LocalCluster, _load: Load) -> None:
    await cluster.switchover()


async def _freeze(cluster: LocalCluster, load: Load) -> None:
    """Silent until another node is the primary and the fault is over."""
    thaw = cluster.freeze(await cluster.primary())
    try:
        await _writes_resumed(load, time.monotonic())
    finally:
        thaw()


async def _zombie(cluster: LocalCluster, load: Load) -> None:
    """As `_freeze`; then a session that was open on the old primary all the while writes to it."""
    old = await load.db.wait_primary()
    raw = await _session_on(load.db, old.address)
    number = next(load.numbers)
    thaw = cluster.freeze(await cluster.primary())
    try:
        await _writes_resumed(load, time.monotonic())
    finally:
        thaw()
    heard: list[str] = []
    raw.add_log_listener(lambda _connection, message: heard.append(str(message.sqlstate)))
    try:
        async with asyncio.timeout(20):
            await raw.execute(INSERT, number)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # What became of it, a bare session can't tell.
        load.account.told.append((number, outlive.Outcome.UNKNOWN))
        load.account.seen[f"session on the old primary: {type(error).__name__}"] += 1
    else:
        outcome = outlive.Outcome.UNKNOWN if "01000" in heard else outlive.Outcome.APPLIED
        load.account.told.append((number, outcome))
        load.account.seen[f"session on the old primary: {outcome.value}"] += 1
    finally:
        raw.terminate()


async def _session_on(db: outlive.Cluster, address: Address) -> asyncpg.Connection:
    dsn = db.dsn
    connect = partial(asyncpg.connect, user=dsn.user, password=dsn.password, database=dsn.database)
    return await connect(host=address.host, port=address.port)


async def _stop_etcd(cluster: LocalCluster, _load: Load) -> None:
    go_on = cluster.freeze_etcd()
    try:
        await asyncio.sleep(30)
    finally:
        go_on()


async def _lose_standbys(cluster: LocalCluster, _load: Load, *, how_many: int, for_s: float) -> None:
    primary = await cluster.primary()
    standbys = [node for node in cluster.nodes() if node != primary][:how_many]
    thaws = [cluster.freeze(node) for node in standbys]
    try:
        await asyncio.sleep(for_s)
    finally:
        for thaw in thaws:
            thaw()


Fault = Callable[[LocalCluster, Load], Awaitable[None]]
FAULTS: dict[str, tuple[str, Fault]] = {
    "postgres": ("its PostgreSQL is killed", _kill_postgres),
    "node": ("its Patroni and PostgreSQL are killed", _kill_node),
    "host": ("its whole node is lost, supervisor and etcd too", _kill_host),
    "patroni": ("its Patroni alone is killed", _kill_patroni),
    "switchover": ("a planned switchover", _switch_over),
    "frozen": ("it freezes, and thaws once another one is the primary", _freeze),
    "zombie": ("the same, then a session open on it all the while writes", _zombie),
    "etcd": ("all of etcd stops for 30 s", _stop_etcd),
    "standby": ("one standby freezes for 10 s", partial(_lose_standbys, how_many=1, for_s=10)),
    "standbys": ("both standbys freeze for 20 s", partial(_lose_standbys, how_many=2, for_s=20)),
}


async def run(cluster: LocalCluster, fault: str, *, tasks: int = 2, steady_s: float = STEADY_S) -> Result:
    """Do one fault to a whole cluster under load, make it whole again, and judge."""
    dsn = await cluster.start()
    await migrate(dsn)
    async with outlive.connect(dsn) as db:
        await db.execute("DROP TABLE IF EXISTS fault_log", idempotent=True)
        await db.execute("CREATE TABLE IF NOT EXISTS fault_log (number bigint NOT NULL)", idempotent=True)
        load = Load(db, Account(), count())
        async with asyncio.TaskGroup() as group:
            for work in (load.keyed, load.plain, load.read):
                for _ in range(tasks):
                    group.create_task(work())
            try:
                await asyncio.sleep(steady_s)
                began_at = time.monotonic()
                await FAULTS[fault][1](cluster, load)
                await _writes_resumed(load, time.monotonic())
                await asyncio.sleep(steady_s)
            finally:
                load.stopped = True
        await cluster.start()
        stored = [
            row["number"] for row in await db.fetch("SELECT number FROM fault_log", linearizable=True, read="strong")
        ]
    account = load.account
    return Result(
        fault=fault,
        verdict=check_writes(account.told, stored),
        seen=dict(sorted(account.seen.items())),
        write_outage_s=_longest_gap(account.written_at, began_at),
        read_outage_s=_longest_gap(account.read_at, began_at),
    )


async def _writes_resumed(load: Load, since: float) -> None:
    async with asyncio.timeout(RESUME_LIMIT_S):
        while not load.account.written_at or load.account.written_at[-1] <= since + 0.2:
            load.wrote.clear()
            await load.wrote.wait()


def _longest_gap(moments: list[float], since: float) -> float:
    """The longest time in seconds, ending after `since`, between one success and the next."""
    gaps = [after - before for before, after in pairwise(moments) if after > since]
    return round(max(gaps, default=0.0), 3)


COLUMNS = (
    "what happens to the primary", "acknowledged", "lost", "doubled", "unknown", "no write for", "no read for",
    "callers saw",
)  # fmt: skip
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def row(result: Result) -> str:
    """A line of the table."""
    verdict = result.verdict
    seen = "; ".join(f"{name} × {times}" for name, times in result.seen.items()) or "nothing"
    figures = f"{verdict.acknowledged:,} | {len(verdict.lost)} | {len(verdict.doubled)} | {verdict.unknown}"
    outages = f"{result.write_outage_s:.2f} s | {result.read_outage_s:.2f} s"
    return f"| {FAULTS[result.fault][0]} | {figures} | {outages} | {seen} |"


SHORT_HEAD = """| what happens to the primary, under load | acknowledged writes lost | writes go on after | proved by |
|---|---|---|---|"""


def short_row(result: Result) -> str:
    """A line of the README's table."""
    verdict = result.verdict
    lost = f"{len(verdict.lost)} of {verdict.acknowledged:,}"
    command = f'make bench-faults ARGS="--fault {result.fault}"'
    return f"| {FAULTS[result.fault][0]} | {lost} | {result.write_outage_s:.1f} s | `{command}` |"


def _write(page: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    page.write_text(MARKS.sub(lambda marks: marks[1] + text + marks[2], page.read_text()))


async def _main(arguments: argparse.Namespace) -> bool:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="outlive-faults-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster", nodes=3)
        try:
            print(HEAD)
            for fault in arguments.fault or FAULTS:
                for _ in range(arguments.repeat):
                    results.append(await run(cluster, fault))
                    print(row(results[-1]), flush=True)
        finally:
            await cluster.stop()
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    if arguments.docs:
        _write(PAGE, [HEAD, *map(row, results)])
        _write(README, [SHORT_HEAD, *map(short_row, results)])
    return all(result.verdict.ok for result in results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="this one; may be given again (default: all)")
    parser.add_argument("--repeat", type=int, default=1, help="how often each (default 1)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--docs", action="store_true", help="write the tables into the documentation and the README")
    sys.exit(0 if asyncio.run(_main(parser.parse_args())) else 1)
