"""A small typed spec -> patroni.yml, as plain values.

Two profiles. `production` waits long enough for real networks; `fast` goes to the floors that Patroni
enforces (ttl 20, loop_wait 1, retry_timeout 3, with loop_wait + 2 * retry_timeout <= ttl).
Both keep the same promises: quorum commit in strict mode, so that an acknowledged critical write is on a
standby; `primary_start_timeout: 0`, so that a crashed primary fails over instead of recovering for minutes;
`failsafe_mode`, so that an etcd outage alone demotes nobody.

Source: Patroni documentation, "Dynamic configuration settings", "YAML configuration settings".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from outlive.cluster.spec import Profile, Secrets, Tags

Yaml = dict[str, object]
ARCHIVE_TIMEOUT = "5min"
"""A segment is finished after this long at the latest; what is in it is streamed within seconds anyway."""
SUPERUSER, REPLICATION, REWIND, REST_USER = "postgres", "replicator", "rewind_user", "outlive"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PatroniSpec:
    """What one node's Patroni has to know. Text may hold `${NAME}`, to be filled in on the host.

    `etcd_hosts` are `host:port`, the one to ask first in front; `home` is the directory for the node's files;
    `network` (CIDR) is who may connect; `synchronous` says whether commits wait for a standby, which a cluster of
    one data node can't: in strict mode it would block for ever. `archive_command` None means: no archive.
    """

    name: str
    scope: str
    namespace: str
    profile: Profile
    host: str
    postgres_port: int
    rest_port: int
    etcd_hosts: tuple[str, ...]
    home: str
    postgres_bin: str
    postgres_major: int
    synchronous: bool = True
    archive_command: str | None = None
    network: str = "0.0.0.0/0"
    tags: Tags = field(default_factory=Tags)


def render(spec: PatroniSpec, secrets: Secrets) -> Yaml:
    """Patroni's whole configuration of one data node."""
    return {
        "scope": spec.scope,
        "namespace": spec.namespace,
        "name": spec.name,
        "log": {"level": "INFO", "dir": f"{spec.home}/log", "file_num": 3, "file_size": 5_000_000},
        "restapi": {
            "listen": f"{_listen(spec)}:{spec.rest_port}",
            "connect_address": f"{spec.host}:{spec.rest_port}",
            "authentication": {"username": REST_USER, "password": secrets.rest},
        },
        "etcd3": {"hosts": list(spec.etcd_hosts)},
        "bootstrap": {"dcs": _dynamic(spec), "initdb": _initdb(spec.postgres_major)},
        "postgresql": _postgresql(spec, secrets),
        "tags": {
            "nofailover": spec.tags.nofailover,
            "noloadbalance": spec.tags.noloadbalance,
            "clonefrom": spec.tags.clonefrom,
        },
    }


def parameters(profile: Profile, postgres_major: int) -> Yaml:
    """The server parameters that Patroni keeps alike on every node."""
    rendered = _COMMON_PARAMETERS | _PARAMETERS[profile]
    if postgres_major >= 17:
        rendered["summarize_wal"] = "on"
    if postgres_major >= 18 and profile is Profile.FAST:
        rendered["io_method"] = "sync"  # three I/O workers a node are too many for one machine
    return rendered


def _dynamic(spec: PatroniSpec) -> Yaml:
    return {
        **_TIMING[spec.profile],
        "maximum_lag_on_failover": 1_048_576,
        "synchronous_mode": "quorum" if spec.synchronous else "off",
        "synchronous_mode_strict": spec.synchronous,
        "synchronous_node_count": 1,
        "primary_start_timeout": 0,
        "primary_stop_timeout": 5,
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": parameters(spec.profile, spec.postgres_major),
            "pg_hba": [
                f"host replication {REPLICATION} {spec.network} scram-sha-256",
                f"host all all {spec.network} scram-sha-256",
            ],
        },
    }


def _postgresql(spec: PatroniSpec, secrets: Secrets) -> Yaml:
    return {
        "listen": f"{_listen(spec)}:{spec.postgres_port}",
        "connect_address": f"{spec.host}:{spec.postgres_port}",
        "data_dir": f"{spec.home}/data",
        "bin_dir": spec.postgres_bin,
        "pgpass": f"{spec.home}/pgpass",
        "authentication": {
            "superuser": {"username": SUPERUSER, "password": secrets.superuser},
            "replication": {"username": REPLICATION, "password": secrets.replication},
            "rewind": {"username": REWIND, "password": secrets.rewind},
        },
        # No Unix socket: its path may be no longer than 107 bytes, and a directory can be.
        "parameters": {"unix_socket_directories": "", **_archiving(spec.archive_command)},
    }


def _archiving(archive_command: str | None) -> Yaml:
    """Settings of the node, not of the cluster: each has an archiver of its own to ask.

    `always`: a standby keeps every segment until the store has it, so a primary's death leaves no gap.
    """
    if archive_command is None:
        return {}
    return {"archive_mode": "always", "archive_command": archive_command, "archive_timeout": ARCHIVE_TIMEOUT}


def _initdb(postgres_major: int) -> list[object]:
    # The builtin provider's order of strings can't change under an index with the C library's next release.
    locale: list[object] = (
        [{"locale-provider": "builtin"}, {"builtin-locale": "C.UTF-8"}] if postgres_major >= 17 else [{"locale": "C"}]
    )
    return [{"encoding": "UTF8"}, *locale, "data-checksums", {"auth": "scram-sha-256"}]


def _listen(spec: PatroniSpec) -> str:
    return spec.host if spec.host.startswith("127.") else "0.0.0.0"  # noqa: S104 - a real host serves its network
