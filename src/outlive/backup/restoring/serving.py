"""Starts a restored data directory for whoever wants to look into it, apart from everything else."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from outlive import system
from outlive.errors import BackupError
from outlive.postgres import identity, postmaster
from outlive.postgres.plan.identity import Identity

READY_LIMIT_S = 120.0
LOG = "outlive-server.log"
_POLL_S = 0.05
# It must neither archive into the real archive nor follow or hold anything of the cluster that it was taken from.
_APART = ("archive_mode=off", "primary_conninfo=", "primary_slot_name=", "synchronous_standby_names=", "ssl=off")


async def serve(data: Path, programs: Path, port: int, owner: Identity | None = None) -> None:
    """Start the server on `port` of this machine's loopback and wait until it takes connections; it stays.

    `owner` is whose the data is, where the caller knows: to find out takes a second or so.

    Raises:
        BackupError: it did not start, with its last words.
    """
    if owner is None:
        owner = await asyncio.to_thread(identity.decide, data, str(programs))
    process, log = _start(data, programs, port, owner)
    until = system.monotonic() + READY_LIMIT_S
    while postmaster.status(data) != postmaster.READY:
        if process.poll() is not None or system.monotonic() > until:
            last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise BackupError(f"the restored server did not start: {last}", hint=f"All it said is in {log}.")
        await asyncio.sleep(_POLL_S)
    process.returncode = 0  # it outlives this process


def _start(data: Path, programs: Path, port: int, who: Identity) -> tuple[subprocess.Popen[bytes], Path]:
    settings = (*_APART, f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    options = [word for setting in settings for word in ("-c", setting)]
    line, started_as = identity.command(who, [str(programs / "postgres"), "-D", str(data), *options])
    log = data / LOG
    log.touch(mode=0o600)
    identity.own(who, [log])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=environment,
            start_new_session=True, **started_as,
        )  # fmt: skip
    return process, log
