"""Makes a cluster's directory: spec, passwords, ports. Nothing runs yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outlive import system
from outlive.cluster import ports
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.spec import ClusterSpec, NodeSpec, Ports, Profile, Secrets
from outlive.errors import ConfigurationError
from outlive.etcd import programs as etcd_programs
from outlive.postgres import programs as postgres_programs

NODES_LIMIT = 9
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line; None leaves an existing cluster as it is."""

    nodes: int | None = None
    witnesses: int | None = None
    profile: Profile | None = None
    postgres_bin: Path | None = None
    etcd_bin: Path | None = None


def make_or_load(directory: ClusterDirectory, wish: Wish) -> tuple[ClusterSpec, Secrets]:
    """The cluster in the directory, made as wished if there is none.

    Raises:
        ConfigurationError: the wish can't be had, or differs from the cluster that is there.
    """
    if directory.exists():
        spec, secrets = directory.load()
        _require_same(spec, wish, directory.root)
        _require_programs(spec, directory)
        return spec, secrets
    spec, secrets = _make_spec(wish), _make_secrets()
    directory.write(spec, secrets)
    return spec, secrets


def _make_spec(wish: Wish) -> ClusterSpec:
    nodes, witnesses = wish.nodes or 3, wish.witnesses or 0
    if not 1 <= nodes <= NODES_LIMIT or not 0 <= witnesses <= NODES_LIMIT - nodes:
        raise ConfigurationError(f"{nodes} nodes and {witnesses} witnesses: from 1 to {NODES_LIMIT} in all")
    postgres_bin = postgres_programs.directory(wish.postgres_bin)
    free = iter(ports.find(4 * nodes + 2 * witnesses))
    data_nodes = tuple(
        NodeSpec(
            name=f"n{number}",
            ports=Ports(etcd_client=next(free), etcd_peer=next(free), postgres=next(free), rest=next(free)),
        )
        for number in range(1, nodes + 1)
    )
    witness_nodes = tuple(
        NodeSpec(name=f"w{number}", witness=True, ports=Ports(etcd_client=next(free), etcd_peer=next(free)))
        for number in range(1, witnesses + 1)
    )
    return ClusterSpec(
        scope="outlive",
        nodes=data_nodes + witness_nodes,
        postgres_bin=str(postgres_bin),
        postgres_major=postgres_programs.major_version(postgres_bin),
        etcd_bin=str(etcd_programs.directory(wish.etcd_bin)),
        profile=wish.profile or Profile.FAST,
    )


def _make_secrets() -> Secrets:
    def password() -> str:
        return "".join(system.chance.choice(_ALPHABET) for _ in range(32))

    return Secrets(superuser=password(), replication=password(), rewind=password(), app=password(), rest=password())


def _require_same(spec: ClusterSpec, wish: Wish, root: Path) -> None:
    witnesses = len(spec.nodes) - len(spec.data_nodes)
    has = {
        "nodes": (len(spec.data_nodes), wish.nodes),
        "witness": (witnesses, wish.witnesses),
        "profile": (spec.profile.value, wish.profile and wish.profile.value),
        "postgres-bin": (spec.postgres_bin, wish.postgres_bin and str(wish.postgres_bin.resolve())),
        "etcd-bin": (spec.etcd_bin, wish.etcd_bin and str(wish.etcd_bin.resolve())),
    }
    for option, (there, wished) in has.items():
        if wished is not None and wished != there:
            raise ConfigurationError(
                f"the cluster in {root} was made with --{option} {there}, not {wished}",
                hint="Leave the option away to start it as it is, or name another directory with --dir.",
            )


def _require_programs(spec: ClusterSpec, directory: ClusterDirectory) -> None:
    major = postgres_programs.major_version(postgres_programs.directory(Path(spec.postgres_bin)))
    etcd_programs.directory(Path(spec.etcd_bin))
    for node, files in directory.nodes(spec):
        made_by = postgres_programs.data_major(files.data)
        if made_by not in (None, major):
            raise ConfigurationError(
                f"{files.data} was made by PostgreSQL {made_by}, but {spec.postgres_bin} is PostgreSQL {major}",
                hint=f"Install PostgreSQL {made_by} for node {node.name} again, or upgrade the data with pg_upgrade.",
            )
