"""What the benches of backups stand on: a server full of agent state, an S3 server, and a way to measure programs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import asyncpg

from outlive.cli.storage import access
from outlive.postgres.access import Access, connect
from outlive.stores import migrate
from outlive.testing import LocalCluster
from outlive.testing.object_store import SeaweedFS

MIB = 1024 * 1024
TURNS_A_CONVERSATION = 40
BATCH = 5000
LIMIT_S = 900
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program; `rss_bytes` is the most memory that it had resident."""

    seconds: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Ground:
    """A single node with agent state, and a bucket `outlive`."""

    scratch: Path
    access: Access
    directory: Path
    s3: SeaweedFS

    @property
    def host(self) -> str:
        """Where PostgreSQL listens."""
        return self.access.addresses[0].host

    @property
    def port(self) -> int:
        """On which port."""
        return self.access.addresses[0].port

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "n1" / "data"

    async def session(self) -> asyncpg.Connection:
        """A superuser's session."""
        return await connect(self.access, self.access.addresses[0])


@asynccontextmanager
async def ground(scratch: Path, megabytes: int) -> AsyncIterator[Ground]:
    """Start both, and fill the server."""
    scratch.chmod(0o755)
    cluster = LocalCluster(scratch / "cluster", nodes=1)
    with SeaweedFS(scratch / "s3") as s3:
        try:
            dsn = await cluster.start(lambda _line: None)
            await migrate(dsn)
            made = Ground(scratch, access(None, scratch / "cluster"), scratch / "cluster", s3)
            await fill(made, megabytes * MIB)
            yield made
        finally:
            await cluster.stop()


async def fill(made: Ground, wanted_bytes: int) -> None:
    """Conversations with turns of a kilobyte or so, made of the words of real transcripts, until it is that large."""
    session = await made.session()
    try:
        number = 0
        while await session.fetchval("SELECT pg_database_size(current_database())") < wanted_bytes:
            await append(session, number, BATCH)
            number += BATCH
        await session.execute("VACUUM ANALYZE")
        await session.execute("CHECKPOINT")
    finally:
        await session.close()


async def append(session: asyncpg.Connection, first: int, count: int) -> None:
    """Add turns, numbered from `first`, to the newest conversations."""
    chance, words = random.Random(first), _words()  # noqa: S311 - the same text each time
    start = first // TURNS_A_CONVERSATION
    end = (first + count) // TURNS_A_CONVERSATION
    await session.execute(
        "INSERT INTO outlive.conversations (id, turn_count, metadata) SELECT 'c-' || n, $3, jsonb_build_object('n', n)"
        " FROM generate_series($1::bigint, $2::bigint - 1) n ON CONFLICT (id) DO NOTHING",
        start, end, TURNS_A_CONVERSATION,
    )  # fmt: skip
    keys = {row["id"]: row["key"] for row in await session.fetch("SELECT id, key FROM outlive.conversations")}
    records = [
        (keys[f"c-{n // TURNS_A_CONVERSATION}"], n % TURNS_A_CONVERSATION, f"t-{n}", "user", _content(chance, words))
        for n in range(start * TURNS_A_CONVERSATION, end * TURNS_A_CONVERSATION)
    ]
    columns = ["conversation", "position", "id", "role", "content"]
    await session.copy_records_to_table("turns", schema_name="outlive", columns=columns, records=records)


def _words() -> list[str]:
    text = files("outlive.demo").joinpath("transcripts.jsonl").read_text("utf-8")
    messages = [each for line in text.splitlines() if line for each in json.loads(line)["messages"]]
    return [word for each in messages for word in (each["content"] or "").split()]


def _content(chance: random.Random, words: Sequence[str]) -> str:
    text = " ".join(chance.choices(words, k=chance.randint(60, 240)))
    return json.dumps({"text": text, "call": f"{chance.getrandbits(96):024x}"})


def timed(command: Sequence[str], environment: Mapping[str, str], output: Path | None = None) -> Run:
    """Run a program to its end.

    Raises:
        RuntimeError: it failed; the end of what it said is in the message.
    """
    began, rss_bytes = time.monotonic(), 0
    with tempfile.TemporaryFile() as said, (output or Path(os.devnull)).open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=said, stdin=subprocess.DEVNULL, env=dict(environment))
        while process.poll() is None and time.monotonic() - began < LIMIT_S:
            # Asked again and again: what the kernel tells at the end counts this very process before the exec too.
            rss_bytes = max(rss_bytes, _peak_bytes(process.pid))
            time.sleep(POLL_S)
        seconds = time.monotonic() - began
        if process.returncode != 0:
            process.kill()
            said.seek(0)
            raise RuntimeError(f"{command[0]} ended with {process.wait()}: {said.read()[-2000:].decode()}")
    return Run(seconds, rss_bytes)


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def middle(runs: Sequence[Run]) -> Run:
    """The run of middling time, with the most memory of all."""
    ordered = sorted(runs, key=lambda run: run.seconds)
    return Run(ordered[len(ordered) // 2].seconds, max(run.rss_bytes for run in runs))


def rounds(names: Sequence[str], count: int) -> Iterator[str]:
    """The names in turn, so that whatever else the machine does falls on all of them alike."""
    for _ in range(count):
        yield from names
