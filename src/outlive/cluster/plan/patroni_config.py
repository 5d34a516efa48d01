"""Cluster spec -> patroni.yml, as plain values.

Two profiles. `production` waits long enough for real networks; `fast` goes to the floors that Patroni
enforces (ttl 20, loop_wait 1, retry_timeout 3, with loop_wait + 2 * retry_timeout <= ttl).
Both keep the same promises: quorum commit in strict mode, so that an acknowledged critical write is on a
standby; `primary_start_timeout: 0`, so that a crashed primary fails over instead of recovering for minutes;
`failsafe_mode`, so that an etcd outage alone demotes nobody.

Source: Patroni documentation, "Dynamic configuration settings", "YAML configuration settings".
"""

from __future__ import annotations

from outlive.cluster.spec import ClusterSpec, NodeSpec, Profile, Secrets

Yaml = dict[str, object]
SUPERUSER, REPLICATION, REWIND = "postgres", "replicator", "rewind_user"

_TIMING: dict[Profile, Yaml] = {
    Profile.PRODUCTION: {"ttl": 30, "loop_wait": 10, "retry_timeout": 10},
    Profile.FAST: {"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
}

# What a failover's speed and safety rest on, alike in both profiles.
_COMMON_PARAMETERS: Yaml = {
    "wal_level": "replica",
    "hot_standby": "on",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "synchronous_commit": "on",
    "wal_log_hints": "on",
    "password_encryption": "scram-sha-256",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
    "tcp_user_timeout": 5000,
    "client_connection_check_interval": "1s",
}
_PARAMETERS: dict[Profile, Yaml] = {
    Profile.PRODUCTION: {"wal_keep_size": "1GB", "max_connections": 200, "shared_buffers": "2GB"},
    Profile.FAST: {
        "wal_keep_size": "128MB",
        "max_wal_size": "512MB",
        "max_connections": 100,
        "shared_buffers": "64MB",
        "jit": "off",
    },
}


def render(spec: ClusterSpec, node: NodeSpec, secrets: Secrets, *, home: str) -> Yaml:
    """Patroni's whole configuration of one data node, whose files live under the directory `home`."""
    assert not node.witness, "a witness runs no Patroni"
    return {
        "scope": spec.scope,
        "namespace": spec.namespace,
        "name": node.name,
        "log": {"level": "INFO", "dir": f"{home}/log", "file_num": 3, "file_size": 5_000_000},
        "restapi": {
            "listen": f"{_listen(node)}:{node.ports.rest}",
            "connect_address": f"{node.host}:{node.ports.rest}",
            "authentication": {"username": "outlive", "password": secrets.rest},
        },
        "etcd3": {"hosts": [f"{peer.host}:{peer.ports.etcd_client}" for peer in _own_first(spec, node)]},
        "bootstrap": {"dcs": _dynamic(spec), "initdb": _initdb(spec.postgres_major)},
        "postgresql": _postgresql(spec, node, secrets, home),
        "tags": {
            "nofailover": node.tags.nofailover,
            "noloadbalance": node.tags.noloadbalance,
            "clonefrom": node.tags.clonefrom,
        },
    }


def parameters(spec: ClusterSpec) -> Yaml:
    """The server parameters that Patroni keeps alike on every node."""
    rendered = _COMMON_PARAMETERS | _PARAMETERS[spec.profile]
    if spec.postgres_major >= 17:
        rendered["summarize_wal"] = "on"
    if spec.postgres_major >= 18 and spec.profile is Profile.FAST:
        rendered["io_method"] = "sync"  # three I/O workers a node are too many for one machine
    return rendered


def synchronous(spec: ClusterSpec) -> bool:
    """Whether writes wait for a standby: a lone data node has none, and would block for ever in strict mode."""
    return len(spec.data_nodes) > 1


def _dynamic(spec: ClusterSpec) -> Yaml:
    return {
        **_TIMING[spec.profile],
        "maximum_lag_on_failover": 1_048_576,
        "synchronous_mode": "quorum" if synchronous(spec) else "off",
        "synchronous_mode_strict": synchronous(spec),
        "synchronous_node_count": 1,
        "primary_start_timeout": 0,
        "primary_stop_timeout": 5,
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": parameters(spec),
            "pg_hba": _pg_hba(spec),
        },
    }


def _postgresql(spec: ClusterSpec, node: NodeSpec, secrets: Secrets, home: str) -> Yaml:
    return {
        "listen": f"{_listen(node)}:{node.ports.postgres}",
        "connect_address": f"{node.host}:{node.ports.postgres}",
        "data_dir": f"{home}/data",
        "bin_dir": spec.postgres_bin,
        "pgpass": f"{home}/pgpass",
        "authentication": {
            "superuser": {"username": SUPERUSER, "password": secrets.superuser},
            "replication": {"username": REPLICATION, "password": secrets.replication},
            "rewind": {"username": REWIND, "password": secrets.rewind},
        },
        # No Unix socket: its path may be no longer than 107 bytes, and a directory can be.
        "parameters": {"unix_socket_directories": ""},
    }


def _initdb(postgres_major: int) -> list[object]:
    # The builtin provider's order of strings can't change under an index with the C library's next release.
    locale: list[object] = (
        [{"locale-provider": "builtin"}, {"builtin-locale": "C.UTF-8"}] if postgres_major >= 17 else [{"locale": "C"}]
    )
    return [{"encoding": "UTF8"}, *locale, "data-checksums", {"auth": "scram-sha-256"}]


def _pg_hba(spec: ClusterSpec) -> list[str]:
    reach = "127.0.0.1/32" if _is_local(spec) else "0.0.0.0/0"
    return [f"host replication {REPLICATION} {reach} scram-sha-256", f"host all all {reach} scram-sha-256"]


def _is_local(spec: ClusterSpec) -> bool:
    return all(node.host.startswith("127.") for node in spec.nodes)


def _listen(node: NodeSpec) -> str:
    return node.host if node.host.startswith("127.") else "0.0.0.0"  # noqa: S104 - a real host serves its network


def _own_first(spec: ClusterSpec, node: NodeSpec) -> tuple[NodeSpec, ...]:
    """Every etcd member, the node's own first: it answers soonest, and each node leans on another one."""
    at = spec.nodes.index(node)
    return spec.nodes[at:] + spec.nodes[:at]
