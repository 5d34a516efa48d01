"""Turns archiving on and off in a cluster: before its first start, or while it runs, node by node.

The spec and copies of two small files are all that is written; each node's supervisor takes the change in, starts its
archiver and tells Patroni. `archive_mode` needs a restart of PostgreSQL, which is made only where it is outstanding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from outlive import system
from outlive.cluster import limits, observation, steering
from outlive.cluster.directory import ClusterDirectory, write_private
from outlive.cluster.plan.health import missing
from outlive.cluster.spec import ArchiveSpec, ClusterSpec, NodeSpec, Secrets
from outlive.cluster.starting import Report
from outlive.cluster.state import supervisor_pid
from outlive.errors import ConfigurationError, ControlPlaneError
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import StoreOptions, read_options
from outlive.patroni.client import PatroniClient
from outlive.postgres import identity
from outlive.postgres.plan.identity import Identity

_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWish:
    """Where to archive to. `key` is the content of a key file that was found to be one."""

    url: str
    options_file: Path | None = None
    key: bytes | None = None
    objective_s: float = 5.0


def write(directory: ClusterDirectory, wish: ArchiveWish | None) -> bool:
    """Make the wish the cluster's, with copies that the servers' account can read; whether that changed anything.

    Raises:
        ConfigurationError: there is no such cluster or store, or a file can't be read. Nothing was changed.
    """
    spec, secrets = directory.load()
    who = identity.decide(directory.root, spec.postgres_bin)
    archive = None if wish is None else _prepare(directory, wish, who)
    changed = archive != spec.archive
    if changed:
        directory.write(replace(spec, archive=archive), secrets)
        identity.own(who, [directory.spec_file, directory.secrets_file])
    return changed


async def apply(directory: ClusterDirectory, report: Report, *, timeout_s: float = limits.UP_S) -> None:
    """Wait until every node that runs has taken in what is wanted, restarting PostgreSQL where that is needed.

    Raises:
        ControlPlaneError: a node did not in time.
    """
    until = system.monotonic() + timeout_s
    spec, secrets = directory.load()
    nodes = [node for node in spec.data_nodes if supervisor_pid(directory.node(node.name)) is not None]
    outstanding = [node.name for node in nodes if await _taken_in(spec, secrets, node, until)]
    if outstanding:
        await steering.restart(directory, outstanding, report, timeout_s=max(1.0, until - system.monotonic()))
    while nodes and (lacking := missing(await observation.observe(spec, secrets, directory))):
        if system.monotonic() > until:
            raise ControlPlaneError(f"the cluster is not whole in time; still missing: {', '.join(lacking)}")
        await asyncio.sleep(_POLL_S)


def _prepare(directory: ClusterDirectory, wish: ArchiveWish, who: Identity) -> ArchiveSpec:
    options = read_options(wish.options_file) if wish.options_file else StoreOptions()
    open_store(wish.url, options)  # refuses what is no store, before anything is written
    if urlsplit(wish.url).scheme == "memory":
        raise ConfigurationError("what a process keeps in memory is no archive", hint="file:///DIR is for trying out.")
    copies: list[Path] = []
    if wish.options_file:
        write_private(directory.storage_file, _flat(options))
        copies.append(directory.storage_file)
    if wish.key:
        write_private(directory.key_file, wish.key)
        copies.append(directory.key_file)
    identity.own(who, [*copies, *_made_directory(wish.url)])
    return ArchiveSpec(
        url=wish.url,
        options_file=str(directory.storage_file) if wish.options_file else None,
        key_file=str(directory.key_file) if wish.key else None,
        objective_s=wish.objective_s,
    )


def _flat(options: StoreOptions) -> bytes:
    """The options with their credentials in one file: the one that they name may be closed to the servers' account."""
    said = {name: value for name, value in msgspec.structs.asdict(_Flat.of(options)).items() if value is not None}
    return msgspec.json.encode(said)


class _Flat(msgspec.Struct):
    endpoint: str | None
    region: str | None
    path_style: bool | None
    allow_http: bool
    timeout_s: float
    retries: int
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None

    @classmethod
    def of(cls, options: StoreOptions) -> _Flat:
        found = options.credentials
        return cls(
            options.endpoint, options.region, options.path_style, options.allow_http, options.timeout_s,
            options.retries, found.access_key_id if found else None, found.secret_access_key if found else None,
            found.session_token if found else None,
        )  # fmt: skip


def _made_directory(url: str) -> Iterable[Path]:
    """The directory of a store in the file system, made if it is not there."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or path.exists():
        return ()
    path.mkdir(mode=0o700, parents=True)
    return (path,)


async def _taken_in(spec: ClusterSpec, secrets: Secrets, node: NodeSpec, until: float) -> bool:
    """Wait until Patroni has the settings: outstanding until a restart, or else in force; whether the first.

    The look that ended the wait is the one that counts: another one may get no answer.
    """
    while system.monotonic() < until:
        if await _outstanding(secrets, node):
            return True
        if await _in_force(spec, secrets, node):
            return False
        await asyncio.sleep(_POLL_S)
    raise ControlPlaneError(f"{node.name} did not take in the change in time", hint=f"`outlive logs {node.name}`.")


async def _outstanding(secrets: Secrets, node: NodeSpec) -> bool:
    patroni = PatroniClient(f"http://{node.host}:{node.ports.rest}", secrets.rest)
    try:
        return bool((await patroni.state()).get("pending_restart"))
    except ControlPlaneError:
        return False
    finally:
        await patroni.close()


async def _in_force(spec: ClusterSpec, secrets: Secrets, node: NodeSpec) -> bool:
    wanted = "always" if spec.archive else "off"
    return await observation.setting(node, secrets, "archive_mode") == wanted
