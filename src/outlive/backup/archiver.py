"""A node's archiver: makes finished WAL durable when PostgreSQL asks, and streams the segment being written.

    python -m outlive.backup.archiver CONFIG.json

It runs for as long as its node, on standbys too (`archive_mode = always`): a standby keeps each file until the store
has it, so that a primary's death leaves no gap. SIGTERM ends it; what was under way is asked for again.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

from outlive.backup import repository
from outlive.backup.archive_socket import serve
from outlive.backup.archiver_files import ArchiverConfig, read_config
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.codec import Codec
from outlive.backup.deposit import Deposit
from outlive.backup.keys import load_keyring
from outlive.backup.pushing import Pusher
from outlive.backup.streaming import Streamer
from outlive.backup.wal_files import WalFiles
from outlive.errors import ConfigurationError
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import StoreOptions, read_options
from outlive.object_storage.store import ObjectStore

TICK_S = 1.0
STORE_TIMEOUT_S = 20.0
"""A put that takes longer is given up and made again: PostgreSQL waits behind it."""
STORE_RETRIES = 2
_STOPPING = (signal.SIGTERM, signal.SIGINT)


async def run(config: ArchiverConfig) -> None:
    """Archive until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the store, the key or the socket can't be used.
    """
    store = open_deposit_store(config)
    keyring = load_keyring(Path(config.key_file) if config.key_file else None)
    deposit = Deposit(store, Codec(config.compression, keyring))
    log = ArchiverLog(config.node, Path(config.state))
    log.event("archiver-started", pid=log.state.pid, url=config.url, key_id=deposit.codec.key_id)
    log.write(at_once=True)
    try:
        async with asyncio.TaskGroup() as tasks:
            await _work(config, deposit, tasks, log)
    except* _Stop:
        log.event("archiver-stopped", pid=log.state.pid)
    finally:
        log.write(at_once=True)
        await store.close()


class _Stop(Exception):  # noqa: N818 - no error: it ends the tasks of the group
    """The archiver was told to stop."""


async def _work(config: ArchiverConfig, deposit: Deposit, tasks: asyncio.TaskGroup, log: ArchiverLog) -> None:
    stop = asyncio.Event()
    for which in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(which, stop.set)
    files = WalFiles(Path(config.data))

    async def check_system(system_identifier: int) -> None:
        await repository.require(deposit.store, str(system_identifier), deposit.codec.key_id)

    pusher = Pusher(files, deposit, tasks, log, workers=config.workers, check_system=check_system)
    tasks.create_task(Streamer(config, files, deposit, pusher, log, tasks).run())
    async with serve(config.socket, pusher.push):
        while not stop.is_set():
            pusher.look_ahead()
            log.write()
            try:
                await asyncio.wait_for(stop.wait(), TICK_S)
            except TimeoutError:
                continue
    raise _Stop


def open_deposit_store(config: ArchiverConfig) -> ObjectStore:
    """The store, asked with less patience than a backup has."""
    options = read_options(Path(config.options_file)) if config.options_file else StoreOptions()
    hasty = replace(
        options, timeout_s=min(options.timeout_s, STORE_TIMEOUT_S), retries=min(options.retries, STORE_RETRIES)
    )
    return open_store(config.url, hasty)


def main() -> int:
    """Run it; 2 where it was told what can't be."""
    code = 0
    try:
        asyncio.run(run(read_config(Path(sys.argv[1]))))
    except* ConfigurationError as found:
        code = ConfigurationError.exit_code
        sys.stderr.write(f"outlive: {' '.join(_sentences(found))}\n")
    return code


def _sentences(found: BaseException) -> list[str]:
    if isinstance(found, BaseExceptionGroup):
        return [sentence for each in found.exceptions for sentence in _sentences(each)]
    return [f"{found} {getattr(found, 'hint', '')}".strip()]


if __name__ == "__main__":
    sys.exit(main())
