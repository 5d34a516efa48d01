"""Where a full backup's time goes: `python bench/backup.py --profile`. Seconds by step, CPU seconds by program.

The parts are measured alone, on the first of the bytes that pg_basebackup writes, and reckoned up to all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backup_ground import MIB, Ground
from outlive.backup.frames import BLOCK_BYTES, LEVEL
from outlive.object_storage.opening import open_store

SAMPLE_BYTES = 256 * MIB
PAGE = Path(__file__).parents[1] / "docs/explanation/backup-speed.md"
MARKS = re.compile(r"(<!-- profile: .*? -->\n).*?(<!-- /profile -->)", re.DOTALL)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds by program, and the wall time of them all."""

    wall_s: float
    programs_s: float
    server_s: float
    s3_s: float


async def profile(made: Ground, ours: Callable[[], dict[str, Any]], thrown: Sequence[str], env: dict[str, str]) -> str:
    """A page's part: one backup by steps and programs, the parts alone, and what follows from them."""
    whole, said = await asyncio.to_thread(_spent, made, ours)
    alone, _ = await asyncio.to_thread(
        _spent, made, lambda: subprocess.run(thrown, env=env, check=True, stdout=subprocess.DEVNULL)
    )
    sample = await asyncio.to_thread(_sample, thrown, env)
    parts = _parts(sample, int(said["raw_bytes"]))
    upload, _ = await _upload(made, int(said["stored_bytes"]))
    return _text(whole, said, alone, parts, upload)


def _cpu_s(pid: int, *, children: bool) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11 : 15 if children else 13]) / _TICKS


def _now(made: Ground) -> tuple[float, float, float, float]:
    postmaster = int((made.data / "postmaster.pid").read_text().split()[0])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.monotonic(),
        used.ru_utime + used.ru_stime,
        _cpu_s(postmaster, children=True),
        _cpu_s(made.s3.pid or 0, children=False),
    )


def _spent(made: Ground, work: Callable[[], Any]) -> tuple[Spent, Any]:
    before = _now(made)
    result = work()
    return Spent(*(after - was for was, after in zip(before, _now(made), strict=True))), result


def _sample(thrown: Sequence[str], env: dict[str, str]) -> list[bytes]:
    with subprocess.Popen(thrown, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        blocks = [process.stdout.read(BLOCK_BYTES) for _ in range(SAMPLE_BYTES // BLOCK_BYTES)]
        process.kill()
    return [each for each in blocks if each]


def _parts(blocks: list[bytes], raw_bytes: int) -> dict[str, float]:
    """CPU seconds of each part of ours, for all of the bytes."""
    times = raw_bytes / sum(len(each) for each in blocks)
    packer, cipher = zstandard.ZstdCompressor(level=LEVEL), AESGCM(bytes(32))
    compression, packed = _each(packer.compress, blocks)
    encryption, _ = _each(lambda block: cipher.encrypt(bytes(12), block, b""), packed)
    hashing, _ = _each(lambda block: hashlib.sha256(block).digest(), packed)
    return {
        f"compression, zstd level {LEVEL}": compression * times,
        "encryption, AES-256-GCM": encryption * times,
        "SHA-256 of what is stored": hashing * times,
    }


def _each(work: Callable[[bytes], bytes], blocks: list[bytes]) -> tuple[float, list[bytes]]:
    began = time.process_time()
    made = [work(each) for each in blocks]
    return time.process_time() - began, made


async def _upload(made: Ground, size_bytes: int) -> tuple[Spent, float]:
    """As many bytes as a backup stores, uploaded alone; then what of it was this process's."""
    block = os.urandom(MIB)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size_bytes // MIB):
            yield block

    store = open_store(made.s3.url("outlive", "profile"), made.s3.options())
    before, own = _now(made), time.process_time()
    await store.upload("object", chunks(), expected_bytes=size_bytes)
    after, own = _now(made), time.process_time() - own
    await store.delete(["object"])
    return Spent(after[0] - before[0], own, 0, after[3] - before[3]), own


def _text(whole: Spent, said: dict[str, Any], alone: Spent, parts: dict[str, float], upload: Spent) -> str:
    cores = os.cpu_count() or 1
    steps = {name: float(seconds) for name, seconds in said["durations"].items()}
    ours_s = whole.programs_s - alone.programs_s
    packing = next(iter(parts.values()))
    total = whole.programs_s + whole.server_s + whole.s3_s
    needed = alone.programs_s + alone.server_s + sum(parts.values()) + upload.programs_s + upload.s3_s
    rows = [
        ("**the whole backup**", f"{whole.wall_s:.1f}", f"{total:.1f}"),
        *((f"step: {name}", f"{seconds:.2f}", "") for name, seconds in steps.items()),
        ("the command's start, publishing, its end", f"{whole.wall_s - sum(steps.values()):.2f}", ""),
        ("PostgreSQL", "", f"{whole.server_s:.2f}"),
        ("pg_basebackup", "", f"{alone.programs_s:.2f}"),
        ("outlive", "", f"{ours_s:.2f}"),
        *((f"of it {name}, alone", "", f"{seconds:.2f}") for name, seconds in parts.items()),
        ("of it upload, alone", "", f"{upload.programs_s:.2f}"),
        ("the S3 server", "", f"{whole.s3_s:.2f}"),
        ("*pg_basebackup thrown away, alone*", f"{alone.wall_s:.1f}", f"{alone.programs_s + alone.server_s:.2f}"),
        ("*the upload, alone*", f"{upload.wall_s:.1f}", f"{upload.programs_s + upload.s3_s:.2f}"),
    ]
    lines = ["| what | seconds | CPU seconds |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    lines += [
        "",
        f"{said['raw_bytes'] / 1e6:.0f} MB of files, {said['stored_bytes'] / 1e6:.0f} MB stored, {cores} processors.",
        f"If only compression ran, on all of them, it took {packing / cores:.1f} s;",
        f"if only the S3 server ran, {upload.s3_s / cores:.1f} s;",
        f"if all that is needed ran and nothing ever waited, {needed / cores:.1f} s.",
    ]
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Into the documentation."""
    PAGE.write_text(MARKS.sub(lambda marks: f"{marks[1]}{text}{marks[2]}", PAGE.read_text()))
