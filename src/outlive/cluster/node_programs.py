"""How a node's two programs are started: command line, environment, files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from outlive.cluster import processes
from outlive.cluster.directory import NodeDirectory, write_private
from outlive.cluster.plan import etcd_arguments, patroni_config
from outlive.cluster.spec import ClusterSpec, NodeSpec, Secrets

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """Starts etcd and Patroni of one node; each call returns the new pid."""

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


def write_patroni_yml(spec: ClusterSpec, secrets: Secrets, node: NodeSpec, files: NodeDirectory) -> None:
    """Put patroni.yml in place, readable by its owner alone: it holds passwords."""
    rendered = patroni_config.render(spec, node, secrets, home=str(files.home))
    write_private(files.patroni_yml, yaml.safe_dump(rendered, sort_keys=False).encode())


def _environment(home: Path) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # HOME: libpq looks for files there, and the caller's may be closed to this account.
    # PYTHONSAFEPATH: the working directory holds a folder named `etcd`, as one of Patroni's modules is.
    return {"LANG": "C.UTF-8", **passed_on, "HOME": str(home), "PYTHONSAFEPATH": "1"}
