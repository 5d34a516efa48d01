"""The files of a cluster on this machine.

DIR/cluster.json      the spec; written last, and what makes the directory a cluster
DIR/secrets.json      the passwords (0600)
DIR/pgpass            the same for libpq's programs (0600)
DIR/storage.json      how the object store is reached (0600), where WAL is archived
DIR/backup.key        the key that it is encrypted with (0600)
DIR/client.dsn        how a client reaches the cluster (0600); there while it is up
DIR/NODE/             patroni.yml, supervisor.json, supervisor.lock, journal.jsonl, log/, data/, etcd/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from outlive import system
from outlive.cluster.spec import ClusterSpec, NodeSpec, Secrets
from outlive.errors import ConfigurationError

T = TypeVar("T")

_OWN_FILES = {"cluster.json", "secrets.json", "pgpass", "client.dsn", "up.lock", "made", "storage.json", "backup.key"}


@dataclass(frozen=True, slots=True)
class NodeDirectory:
    """Where one node keeps its files."""

    home: Path

    @property
    def patroni_yml(self) -> Path:
        """Patroni's configuration, rendered anew at each start."""
        return self.home / "patroni.yml"

    @property
    def state(self) -> Path:
        """What the supervisor last wrote of its processes."""
        return self.home / "supervisor.json"

    @property
    def lock(self) -> Path:
        """Locked by the living supervisor."""
        return self.home / "supervisor.lock"

    @property
    def journal(self) -> Path:
        """The supervisor's acts with their evidence, one JSON object a line."""
        return self.home / "journal.jsonl"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "data"

    @property
    def archiver_config(self) -> Path:
        """The archiver's configuration, rendered anew at each start."""
        return self.home / "archiver.json"

    @property
    def archiver_state(self) -> Path:
        """What the archiver last wrote of itself."""
        return self.home / "archiver-state.json"

    def log(self, component: str) -> Path:
        """The log file of `supervisor`, `etcd`, `patroni`, `postgres` or `archiver`."""
        return self.home / "log" / f"{component}.log"


@dataclass(frozen=True, slots=True)
class ClusterDirectory:
    """The directory of one local cluster."""

    root: Path

    @property
    def spec_file(self) -> Path:
        """The spec; its presence makes the cluster exist."""
        return self.root / "cluster.json"

    @property
    def secrets_file(self) -> Path:
        """The passwords."""
        return self.root / "secrets.json"

    @property
    def storage_file(self) -> Path:
        """How the object store is reached."""
        return self.root / "storage.json"

    @property
    def key_file(self) -> Path:
        """The key that what is archived is encrypted with."""
        return self.root / "backup.key"

    @property
    def pgpass(self) -> Path:
        """The passwords in libpq's form."""
        return self.root / "pgpass"

    @property
    def dsn_file(self) -> Path:
        """The DSN of the application's user, while the cluster is up."""
        return self.root / "client.dsn"

    @property
    def made(self) -> Path:
        """There once the cluster has been whole: until then it holds nobody's data."""
        return self.root / "made"

    def node(self, name: str) -> NodeDirectory:
        """The files of one node."""
        return NodeDirectory(self.root / name)

    def nodes(self, spec: ClusterSpec) -> Iterator[tuple[NodeSpec, NodeDirectory]]:
        """Every node with its files."""
        return ((node, self.node(node.name)) for node in spec.nodes)

    def exists(self) -> bool:
        """Whether a cluster was made here.

        Raises:
            ConfigurationError: something else is here, or only half of a cluster.
        """
        if self.spec_file.exists():
            return True
        if not self.root.exists():
            return False
        if not self.root.is_dir():
            raise ConfigurationError(f"{self.root} is not a directory", hint="Choose another one with --dir.")
        strange = sorted(entry.name for entry in self.root.iterdir() if entry.name not in _OWN_FILES)
        if strange:
            raise ConfigurationError(
                f"{self.root} holds {strange[0]!r} but no cluster.json, so it is no cluster of Outlive, or half of one",
                hint="Choose another directory with --dir, or look into this one and remove it yourself.",
            )
        return False

    def load(self) -> tuple[ClusterSpec, Secrets]:
        """The spec and the passwords.

        Raises:
            ConfigurationError: no cluster is here, or its files can't be read.
        """
        if not self.exists():
            raise ConfigurationError(
                f"there is no cluster in {self.root}", hint="`outlive up` makes one; --dir names another directory."
            )
        spec, secrets = read(self.spec_file, ClusterSpec), read(self.secrets_file, Secrets)
        return spec, secrets

    def set_aside(self, spec: ClusterSpec) -> Path | None:
        """Move the nodes' files of a making that was cut short out of the way; where to, None if there are none."""
        begun = [files.home for _, files in self.nodes(spec) if files.home.exists()]
        if not begun:
            return None
        aside = self.root / f"cut-short-{system.now_utc():%Y%m%dT%H%M%S}"
        aside.mkdir(mode=0o700)
        for home in begun:
            home.rename(aside / home.name)
        return aside

    def write(self, spec: ClusterSpec, secrets: Secrets) -> None:
        """Make the directory a cluster; the spec last, so that it is whole or not there."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.secrets_file, msgspec.json.encode(secrets))
        write_private(self.spec_file, msgspec.json.format(msgspec.json.encode(spec), indent=2))


def read(path: Path, kind: type[T]) -> T:
    """Decode a JSON file of ours.

    Raises:
        ConfigurationError: it is missing, unreadable or not what it should be.
    """
    hint = "Put the file back, or remove the whole cluster: `outlive down --destroy`."
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}", hint=hint) from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path} is damaged: {error}", hint=hint) from error


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place whole, readable by its owner alone."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
