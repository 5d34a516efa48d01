"""Finds out under which account a cluster's programs can run, and starts a program under it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

from outlive.errors import ConfigurationError
from outlive.postgres.plan.identity import (
    ROOT,
    Account,
    AccountFacts,
    AsIs,
    Identity,
    IdentityFacts,
    Refusal,
    UserNamespace,
    choose,
)

ACCOUNTS = ("outlive", "postgres")
PREFLIGHT_LIMIT_S = 30.0
# Everything that would fail late, and badly, under an account that can't read the interpreter or the directory.
_PREFLIGHT = (
    "import os, subprocess, sys; import patroni, psycopg;"
    "os.chdir(sys.argv[2]);"
    "subprocess.run([sys.executable, '-c', ''], check=True);"
    "subprocess.run([sys.argv[1], '--version'], check=True, stdout=subprocess.DEVNULL)"
)


def decide(root: Path, postgres_bin: str) -> Identity:
    """The account for the cluster in `root`, which may not exist yet.

    Raises:
        ConfigurationError: there is none, and why.
    """
    decision = choose(_observe(root, postgres_bin))
    if isinstance(decision, Refusal):
        raise ConfigurationError(
            f"the cluster's programs can't be run here: {decision.reason}",
            hint="Run it as an ordinary user, or make an account for it: useradd --system outlive.",
        )
    return decision


def command(identity: Identity, program: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """A program's command line and the arguments of `subprocess.Popen` that run it under this identity."""
    match identity:
        case AsIs():
            return list(program), {}
        case Account(_, uid, gid):
            return list(program), {"user": uid, "group": gid, "extra_groups": []}
        case UserNamespace():
            uid, gid = _mapped()
            return ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--", *program], {}
        case _:
            assert_never(identity)


def own(identity: Identity, paths: Sequence[Path]) -> None:
    """Give files that root made to the account that is to use them."""
    if isinstance(identity, Account):
        for path in paths:
            os.chown(path, identity.uid, identity.gid)


def _observe(root: Path, postgres_bin: str) -> IdentityFacts:
    euid = os.geteuid()
    owner_uid = root.stat().st_uid if _has_nodes(root) else None
    if euid != ROOT:
        return IdentityFacts(euid=euid, owner_uid=owner_uid, accounts=(), namespace_unfit=None)
    # A directory without nodes is handed over to whom is chosen: what counts is the way to it.
    way = root.absolute().parents if owner_uid is None else (root, *root.absolute().parents)
    reach = next(path for path in way if path.is_dir())
    accounts = tuple(_observe_account(name, postgres_bin, reach) for name in ACCOUNTS if _entry(name))
    fit = any(account.unfit is None and owner_uid in (None, account.uid) for account in accounts)
    namespace_unfit = None if fit else _preflight(UserNamespace(), postgres_bin, reach)
    return IdentityFacts(euid=euid, owner_uid=owner_uid, accounts=accounts, namespace_unfit=namespace_unfit)


def _has_nodes(root: Path) -> bool:
    """Whether a first start has come so far that files of nodes belong to an account."""
    return root.is_dir() and any(path.is_dir() for path in root.iterdir())


def _observe_account(name: str, postgres_bin: str, reach: Path) -> AccountFacts:
    entry = pwd.getpwnam(name)
    unfit = _preflight(Account(name, entry.pw_uid, entry.pw_gid), postgres_bin, reach)
    return AccountFacts(name, entry.pw_uid, entry.pw_gid, unfit)


def _preflight(identity: Identity, postgres_bin: str, reach: Path) -> str | None:
    if isinstance(identity, UserNamespace) and shutil.which("unshare") is None:
        return "the program unshare is missing (Debian: util-linux)"
    program = [sys.executable, "-c", _PREFLIGHT, f"{postgres_bin}/postgres", str(reach)]
    line, arguments = command(identity, program)
    try:
        done = subprocess.run(
            line,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            env=_clean(os.environ),
            timeout=PREFLIGHT_LIMIT_S,
            **arguments,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the pre-flight ended with {done.returncode}"


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "HOME" and not name.startswith("PATRONI_")}


def _entry(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _mapped() -> tuple[int, int]:
    """An unprivileged account with a passwd entry, which initdb wants to read; `nobody` is everywhere."""
    entries = [entry for entry in pwd.getpwall() if entry.pw_uid != ROOT]
    entry = next((entry for entry in entries if entry.pw_name == "nobody"), entries[0] if entries else None)
    if entry is None:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid
