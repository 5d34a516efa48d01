"""No secret is in sight while the commands run: on no command line, in nothing that is printed, named or described."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conditions import eventually
from integration.backup.one_server import PASSWORD, OneServer, newest
from integration.backup.shell import KEY, LIMIT_S, Shell
from outlive.object_storage.s3 import calls_of
from outlive.testing.object_store import SeaweedFS

pytestmark = newest
POLL_S = 0.02
IN_SIGHT = "what everybody sees"


@contextmanager
def watched(secrets: tuple[str, ...]) -> Iterator[set[str]]:
    """The command lines of this machine that hold one of them, gathered for as long as the block runs."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            seen.update(_in_sight(secrets))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _in_sight(secrets: tuple[str, ...]) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(secret in line for secret in secrets):
            yield line


def see_one(seen: set[str]) -> None:
    """Have a program run with something on its command line until the watch has found it."""
    with subprocess.Popen([sys.executable, "-c", "input()", IN_SIGHT], stdin=subprocess.PIPE) as shown:
        eventually(lambda: any(IN_SIGHT in line for line in tuple(seen)), within_s=60)
        shown.communicate(b"\n")


def _commands(server: OneServer, into: Path) -> Iterator[tuple[str, ...]]:
    """Every command about backups, so that each has something to do."""
    reach = ("--dsn", server.dsn)
    yield ("backup", "create", *reach, "--rate-limit", "40")
    yield ("backup", "create", "--type", "incremental", *reach)
    yield ("backup", "create", "--type", "logical", *reach)
    yield ("backup", "point", "noted", *reach)
    yield ("backup", "keep", "audit")
    for asked in ("list", "show"):
        yield ("backup", asked)
    yield ("backup", "check", "--deep", "--probe-lock")
    yield ("backup", "verify", "--scratch", str(into))
    yield ("backup", "prune", "--count", "1")
    yield ("wal", "check")
    yield ("restore", "--backup", "latest", "--into", str(into / "data"))


async def test_no_secret_is_in_sight(server: OneServer, s3: SeaweedFS, tmp_path: Path, room: Path) -> None:
    """Of the server, of the store, and the key itself; the watch is seen to find one that is."""
    secrets = (PASSWORD, KEY, s3.credentials.secret_access_key)
    shell = Shell(server, s3, tmp_path)
    printed = ""
    with watched((*secrets, IN_SIGHT)) as seen:
        see_one(seen)
        for arguments in _commands(server, room):
            command = shell.outlive(*arguments)
            out, err = command.communicate(timeout=LIMIT_S)
            assert command.returncode == 0, (arguments, err)
            printed += out + err
    assert [line for line in seen if any(secret in line for secret in secrets)] == []
    calls = calls_of("outlive", s3.options())
    assert calls is not None
    prefix = shell.store.url.rpartition("/")[2]
    for key in [facts.key async for facts in shell.store.list()]:
        described = await calls.ask("HEAD", f"{prefix}/{key}")
        assert described.done
        printed += f"{key} {dict(described.headers)}"
        stored = await shell.store.get(key)
        assert not any(secret.encode() in stored for secret in secrets), key
    assert [secret for secret in secrets if secret in printed] == []
