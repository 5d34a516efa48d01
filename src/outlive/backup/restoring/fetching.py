"""Brings a chain of backups onto the disk, each checked against PostgreSQL's own manifest, and makes one of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from outlive import system
from outlive.backup import codec
from outlive.backup.plan.failures import FULL_DISK
from outlive.backup.plan.recovery import BackupFacts, RecoveryPlan
from outlive.backup.restoring.extraction import extract, no_room
from outlive.backup.restoring.material import Material, Phases, Progress, Tools
from outlive.backup.restoring.workspace import Workspace
from outlive.errors import BackupError, ChecksumMismatchError
from outlive.postgres.identity import command
from outlive.postgres.plan.identity import Account, AsIs, Identity
from outlive.postgres.tether import tethered

PROGRAM_LIMIT_S = 6 * 3600.0
LINKS_SINCE = 18
"""From this release on, pg_combinebackup can link what it does not change."""


async def fetch(material: Material, plan: RecoveryPlan, workspace: Workspace, tools: Tools, phases: Phases) -> None:
    """Put the data directory of the plan's backup into `workspace.data`.

    Raises:
        ChecksumMismatchError: something is not what was backed up.
        BackupError: the disk is full, or a program of PostgreSQL failed.
    """
    _check_room(plan, workspace.into, tools)
    checks: list[asyncio.Task[None]] = []
    try:
        for backup in plan.chain:
            part = workspace.make(workspace.part(backup.id))
            await _fetch_one(material, backup, part, workspace, tools, phases)
            checks.append(asyncio.create_task(_check_manifest(backup, part, tools)))
        began = system.monotonic()
        await asyncio.gather(*checks)
        phases.check_s += system.monotonic() - began
    finally:
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
    began = system.monotonic()
    await _combine(plan, workspace, tools)
    phases.extract_s += system.monotonic() - began


async def _fetch_one(
    material: Material, backup: BackupFacts, part: Path, workspace: Workspace, tools: Tools, phases: Phases
) -> None:
    stored = material.backups[backup.id]
    began, done = system.monotonic(), 0

    def written(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        tools.report(Progress("fetch", done, backup.raw_bytes or None))

    chunks = codec.decode(material.store.stream(stored.tar), material.keyring, stored.tar)
    extracted = await extract(chunks, part, written)
    await asyncio.to_thread(_own_tree, workspace, part)
    phases.fetch_s += extracted.waited_s
    phases.extract_s += system.monotonic() - began - extracted.waited_s


async def _check_manifest(backup: BackupFacts, part: Path, tools: Tools) -> None:
    done = await run([str(tools.programs / "pg_verifybackup"), "--quiet", str(part)])
    if done.returncode:
        raise ChecksumMismatchError(f"backup {backup.id} is not what was taken: {complaint(done)}")


async def _combine(plan: RecoveryPlan, workspace: Workspace, tools: Tools) -> None:
    parts = [workspace.part(backup.id) for backup in plan.chain]
    if len(parts) == 1:
        parts[0].rename(workspace.data)
        return
    program = [str(tools.programs / "pg_combinebackup"), "--no-sync", "--output", str(workspace.data)]
    program += ["--link"] if tools.major >= LINKS_SINCE else []
    done = await run([*program, *map(str, parts)], workspace.identity)
    if any(mark in done.stderr for mark in FULL_DISK):
        raise no_room(workspace.into, complaint(done))
    if done.returncode:
        raise BackupError(f"the chain up to {plan.backup.id} can't be put together: {complaint(done)}")
    await asyncio.to_thread(shutil.rmtree, workspace.home / "parts")


async def run(program: list[str], identity: Identity | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL to its end, as `identity`, else as we are; it doesn't outlive this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
    line, options = command(identity or AsIs(), tethered(program, "KILL"))
    process = await asyncio.create_subprocess_exec(
        *line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment,
        **options,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PROGRAM_LIMIT_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return subprocess.CompletedProcess(program, process.returncode or 0, output.decode(), errors.decode())


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """A program's first error."""
    lines = [line for line in done.stderr.splitlines() if "error" in line] or (done.stderr + done.stdout).splitlines()
    return lines[0].partition("error: ")[2] or lines[0] if lines else f"exit code {done.returncode}"


def _check_room(plan: RecoveryPlan, into: Path, tools: Tools) -> None:
    raw_bytes = sum(backup.raw_bytes for backup in plan.chain)
    doubled = len(plan.chain) > 1 and tools.major < LINKS_SINCE
    needed, free = raw_bytes * (2 if doubled else 1), shutil.disk_usage(into).free
    if needed > free:
        raise BackupError(
            f"no room in {into}: {needed:,} bytes are needed and {free:,} are free",
            hint="Free some, or restore into a directory on another disk.",
        )


def _own_tree(workspace: Workspace, root: Path) -> None:
    if not isinstance(workspace.identity, Account):
        return
    uid, gid = workspace.identity.uid, workspace.identity.gid
    for folder, _, files in os.walk(root):
        for path in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(path, uid, gid)
