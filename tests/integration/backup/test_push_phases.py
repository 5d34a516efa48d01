"""SIGKILL at each phase of a push and of streaming, held there by a proxy before a real store; then what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.backup.archiving import Archiving
from integration.backup.store_proxy import At, Hold, StoreProxy, Which
from integration.client.waiting import until
from outlive.backup.archiver_files import read_state
from outlive.backup.plan.archived import coverage, piece_key, pieces_by_segment, segment_key
from outlive.backup.plan.gaps import find
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment

LIMIT_S = 240.0
_FULL = os.environ.get("OUTLIVE_FAULTS") == "full"
ROUNDS = 5 if _FULL else 1
_WHOLE = re.compile(r"/wal/[0-9A-F]{8}/[0-9A-F]{24}$")


def puts_segment(method: str, path: str) -> bool:
    """A put of a whole segment."""
    return method == "PUT" and _WHOLE.search(path) is not None


def puts_piece(method: str, path: str) -> bool:
    """A put of a piece of the segment that is being written."""
    return method == "PUT" and "/tail/" in path


def lists_pieces(method: str, path: str) -> bool:
    """The look for pieces that are superseded."""
    return method == "GET" and "list-type" in path and "tail" in path


def removes_pieces(method: str, path: str) -> bool:
    """Their removal."""
    return method == "DELETE" or (method == "POST" and "delete" in path)


PUSH_PHASES: dict[str, At] = {
    "read and compressed, nothing put": At.BEGUN,
    "half put": At.WITHIN,
    "stored, not known yet": At.STORED,
}
STREAM_PHASES: dict[str, tuple[Which, At]] = {
    "a piece read, nothing put": (puts_piece, At.BEGUN),
    "half a piece put": (puts_piece, At.WITHIN),
    "a piece stored, not known yet": (puts_piece, At.STORED),
    "superseded pieces not listed yet": (lists_pieces, At.BEGUN),
    "superseded pieces listed": (lists_pieces, At.STORED),
    "superseded pieces not removed yet": (removes_pieces, At.BEGUN),
    "superseded pieces removed, not known yet": (removes_pieces, At.STORED),
}
VICTIMS = ("archiver", "client", "postgres")
# A client's death by a signal ends PostgreSQL's archiving process, which is started again up to a minute later.
PUSHES = [
    (phase, victim)
    for phase, at in PUSH_PHASES.items()
    for victim in VICTIMS
    if _FULL or victim != "client" or at is At.WITHIN
]


def rounds(victim: str) -> int:
    """How often each kill is tried."""
    return 1 if victim == "client" else ROUNDS


@pytest.mark.parametrize(("phase", "victim"), PUSHES)
async def test_a_kill_within_a_push(proxied: Archiving, proxy: StoreProxy, phase: str, victim: str) -> None:
    """Nobody is told that a segment is durable before it is; it is asked for again, and arrives as it was."""
    for _ in range(rounds(victim)):
        await settle(proxied)
        hold = Hold(PUSH_PHASES[phase])
        proxy.do(hold, puts_segment)
        name, digest = await switched(proxied)
        await until(hold.held.is_set, LIMIT_S)
        assert not done(proxied, name)
        await kill(proxied, victim)
        proxy.heal()
        await begin_again(proxied, victim)
        await arrives(proxied, name, digest)
        if victim == "archiver" and hold.at is At.STORED:
            await until(lambda: proxied.state().found_there > 0, LIMIT_S)


@pytest.mark.parametrize("victim", ["archiver", "client"])
async def test_a_kill_before_a_push_begins(proxied: Archiving, victim: str) -> None:
    """PostgreSQL has asked, and the archiver has not looked yet: it asks again."""
    for _ in range(rounds(victim)):
        await settle(proxied)
        os.kill(proxied.pid(), signal.SIGSTOP)
        name, digest = await switched(proxied)
        await until(lambda: bool(proxied.clients()), LIMIT_S)
        await kill(proxied, victim)
        if victim == "client":
            os.kill(proxied.pid(), signal.SIGCONT)
        await begin_again(proxied, victim)
        await arrives(proxied, name, digest)


@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_kill_behind_a_push(proxied: Archiving, victim: str) -> None:
    """What was acknowledged stays, whoever dies then."""
    for _ in range(rounds(victim)):
        await settle(proxied)
        name, digest = await switched(proxied)
        await acknowledged(proxied, name)
        await kill(proxied, victim)
        await begin_again(proxied, victim)
        await arrives(proxied, name, digest)


@pytest.mark.parametrize("phase", STREAM_PHASES)
async def test_a_kill_within_streaming(proxied: Archiving, proxy: StoreProxy, phase: str) -> None:
    """The successor proves the present again, what it streamed is what was written, and the segment arrives."""
    for _ in range(ROUNDS):
        await settle(proxied)
        which, at = STREAM_PHASES[phase]
        hold = Hold(at)
        proxy.do(hold, which)
        await write(proxied)
        if which is not puts_piece:
            await proves_the_present(proxied)
            name, digest = await switched(proxied)
            await arrives(proxied, name, digest)
        await until(hold.held.is_set, LIMIT_S)
        await kill(proxied, "archiver")
        proxy.heal()
        await begin_again(proxied, "archiver")
        await write(proxied)
        await proves_the_present(proxied)
        await pieces_are_right(proxied)
        await arrives(proxied, *await switched(proxied))


async def settle(proxied: Archiving) -> None:
    """Wait until nothing is under way, so that the next request is the one that is meant."""
    await until(lambda: not any(path.suffix == ".ready" for path in _marks(proxied).iterdir()), LIMIT_S)
    await write(proxied)
    await proves_the_present(proxied)


async def write(proxied: Archiving) -> None:
    """Write some WAL."""
    await proxied.servers.sql("n1", "select pg_logical_emit_message(true, 'test', repeat('x', 50000))")


async def switched(proxied: Archiving) -> tuple[str, str]:
    """Finish a segment: its name and the SHA-256 of its file."""
    name = await proxied.switch()
    file = proxied.servers.root / "n1" / "pg_wal" / name
    return name, hashlib.sha256(await asyncio.to_thread(file.read_bytes)).hexdigest()


async def arrives(proxied: Archiving, name: str, digest: str) -> None:
    """The segment comes to lie in the store as it was, acknowledged to PostgreSQL, in an archive without a gap."""
    await proxied.wait_for(name, LIMIT_S)
    await acknowledged(proxied, name)
    archived = await proxied.archived()
    assert find(archived, {}, DEFAULT_SEGMENT_BYTES).whole
    assert not archived.strange
    assert hashlib.sha256(await proxied.deposit().read(segment_key(WalSegment.parse(name)))).hexdigest() == digest


async def acknowledged(proxied: Archiving, name: str) -> None:
    """Wait until PostgreSQL was told that the file is durable."""
    await until(lambda: done(proxied, name), LIMIT_S)


async def proves_the_present(proxied: Archiving) -> None:
    """Wait until the archiver has brought into the store what was written until now."""
    moment = datetime.now(UTC)
    await until(lambda: _state_proves(proxied, moment), LIMIT_S)


async def pieces_are_right(proxied: Archiving) -> None:
    """What pieces cover of the newest segment is how its file begins."""
    by_segment, deposit = pieces_by_segment(await proxied.archived()), proxied.deposit()
    newest = max(by_segment)
    raw = b"".join([await deposit.read(piece_key(piece)) for piece in coverage(by_segment[newest])])
    assert raw
    assert (proxied.servers.root / "n1" / "pg_wal" / newest.name).read_bytes().startswith(raw)


def done(proxied: Archiving, name: str) -> bool:
    """Whether PostgreSQL was told that the file is durable, and has not removed it as a consequence."""
    return not (_marks(proxied) / f"{name}.ready").exists()


async def kill(proxied: Archiving, victim: str) -> None:
    """SIGKILL it."""
    match victim:
        case "archiver":
            proxied.kill()
        case "client":
            proxied.kill_clients()
        case _:
            await asyncio.to_thread(proxied.servers.kill, "n1")


async def begin_again(proxied: Archiving, victim: str) -> None:
    """As the node's supervisor, or PostgreSQL, does."""
    starts: dict[str, Callable[[str], None]] = {"archiver": proxied.start, "postgres": proxied.servers.start}
    if victim in starts:
        await asyncio.to_thread(starts[victim], "n1")


def _marks(proxied: Archiving) -> Path:
    return proxied.servers.root / "n1" / "pg_wal" / "archive_status"


def _state_proves(proxied: Archiving, moment: datetime) -> bool:
    state = read_state(Path(proxied.config("n1").state))
    return state is not None and state.proved_at is not None and state.proved_at > moment
