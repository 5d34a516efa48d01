"""Reads every page, table and index of a restored server by PostgreSQL's own checkers."""

from __future__ import annotations

from outlive.backup.restoring.fetching import run
from outlive.backup.restoring.material import Tools
from outlive.backup.restoring.server import PORT, SUPERUSER, PrivateServer
from outlive.backup.restoring.workspace import Workspace

SHOWN_LIMIT = 5
JOBS = 2
_OFF = "data checksums are not enabled"


async def amcheck(server: PrivateServer, tools: Tools) -> list[str]:
    """What pg_amcheck finds in tables and indexes of all databases, each index held against its table."""
    where = ["--host", str(server.sockets), "--port", str(PORT), "--username", SUPERUSER, "--all", "--no-password"]
    how = ["--install-missing", "--heapallindexed", "--parent-check", "--jobs", str(JOBS)]
    done = await run([str(tools.programs / "pg_amcheck"), *where, *how])
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    skipped = [line for line in lines if "skipping database" in line]
    if done.returncode or skipped:
        return [f"pg_amcheck: {' '.join(lines[:SHOWN_LIMIT]) or f'exit code {done.returncode}'}"]
    return []


async def checksums(workspace: Workspace, tools: Tools) -> list[str]:
    """What pg_checksums finds in the pages of a server that was stopped; nothing where they have no checksums."""
    done = await run([str(tools.programs / "pg_checksums"), "--check", "--pgdata", str(workspace.data)])
    if done.returncode == 0 or _OFF in done.stderr:
        return []
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return [f"pg_checksums: {' '.join(lines[:SHOWN_LIMIT])}"]


async def have_checksums(server: PrivateServer) -> bool:
    """Whether the pages carry checksums at all."""
    connection = await server.connect()
    try:
        return str(await connection.fetchval("SHOW data_checksums")) == "on"
    finally:
        await connection.close()
