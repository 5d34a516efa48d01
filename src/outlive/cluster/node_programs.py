"""How a node's programs are started: command line, environment, files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

import outlive
from outlive.cluster import processes
from outlive.cluster.directory import NodeDirectory, write_private
from outlive.cluster.plan import archive_command, archiver_config, etcd_arguments, patroni_config
from outlive.cluster.plan.patroni_config import PatroniSpec
from outlive.cluster.spec import ClusterSpec, NodeSpec, Secrets

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
ARCHIVE_CLIENT = str(Path(outlive.__file__).parent / "backup" / "archive_client.py")
"""Run by its path, as it may import nothing; the cluster knows no other part of the backups."""
_STORE_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "OUTLIVE_BACKUP_KEY")


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """Starts etcd, Patroni and the archiver of one node; each call returns the new pid."""

    spec: ClusterSpec
    secrets: Secrets
    node: NodeSpec
    files: NodeDirectory

    def start_etcd(self) -> int:
        """Start the etcd member."""
        command = etcd_arguments.arguments(self.spec, self.node, home=str(self.files.home))
        return processes.spawn(
            command, log=self.files.log("etcd"), cwd=self.files.home, environment=_environment(self.files.home)
        )

    def start_patroni(self) -> int:
        """Render patroni.yml anew and start Patroni on it. PostgreSQL inherits its output, Patroni logs by itself."""
        write_patroni_yml(self.spec, self.secrets, self.node, self.files)
        return processes.spawn(
            (sys.executable, "-m", "patroni", str(self.files.patroni_yml)),
            log=self.files.log("postgres"),
            cwd=self.files.home,
            environment=_environment(self.files.home),
        )

    def start_archiver(self) -> int:
        """Render its configuration anew and start the archiver on it."""
        write_private(self.files.archiver_config, rendered_archiver(self.spec, self.secrets, self.node, self.files))
        return processes.spawn(
            (sys.executable, "-m", "outlive.backup.archiver", str(self.files.archiver_config)),
            log=self.files.log("archiver"),
            cwd=self.files.home,
            environment=_environment(self.files.home) | _store_credentials(),
        )


def rendered_archiver(spec: ClusterSpec, secrets: Secrets, node: NodeSpec, files: NodeDirectory) -> bytes:
    """What the node's archiver has to know."""
    assert spec.archive is not None, "nothing is archived"
    assert node.ports.postgres is not None, "a witness runs no PostgreSQL"
    said = archiver_config.render(
        spec.archive, node=node.name, home=str(files.home), host=node.host, port=node.ports.postgres,
        user=patroni_config.REPLICATION, password=secrets.replication, data=str(files.data),
        state=str(files.archiver_state),
    )  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(said), indent=2)


def write_patroni_yml(spec: ClusterSpec, secrets: Secrets, node: NodeSpec, files: NodeDirectory) -> None:
    """Put patroni.yml in place, readable by its owner alone: it holds passwords."""
    rendered = patroni_config.render(patroni_spec(spec, node, home=str(files.home)), secrets)
    write_private(files.patroni_yml, yaml.safe_dump(rendered, sort_keys=False).encode())


def patroni_spec(spec: ClusterSpec, node: NodeSpec, *, home: str) -> PatroniSpec:
    """What the node's Patroni has to know of the cluster."""
    assert node.ports.postgres is not None, "a witness runs no PostgreSQL"
    assert node.ports.rest is not None, "a witness runs no Patroni"
    at = spec.nodes.index(node)
    # The node's own etcd member first: it answers soonest, and each node leans on another one.
    members = spec.nodes[at:] + spec.nodes[:at]
    return PatroniSpec(
        name=node.name,
        scope=spec.scope,
        namespace=spec.namespace,
        profile=spec.profile,
        host=node.host,
        postgres_port=node.ports.postgres,
        rest_port=node.ports.rest,
        etcd_hosts=tuple(f"{member.host}:{member.ports.etcd_client}" for member in members),
        home=home,
        postgres_bin=spec.postgres_bin,
        postgres_major=spec.postgres_major,
        synchronous=len(spec.data_nodes) > 1,
        archive_command=archive_command.render(sys.executable, ARCHIVE_CLIENT, home) if spec.archive else None,
        network="127.0.0.1/32",
        tags=node.tags,
    )


def _environment(home: Path) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # HOME: libpq looks for files there, and the caller's may be closed to this account.
    # PYTHONSAFEPATH: the working directory holds a folder named `etcd`, as one of Patroni's modules is.
    return {"LANG": "C.UTF-8", **passed_on, "HOME": str(home), "PYTHONSAFEPATH": "1"}


def _store_credentials() -> dict[str, str]:
    """What the object store's driver may take from the environment; nobody but the archiver gets it."""
    return {name: value for name, value in os.environ.items() if name.startswith(_STORE_VARIABLES)}
