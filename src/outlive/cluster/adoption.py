"""Makes a cluster around a data directory that is there already, as a restore leaves it.

Patroni takes over a data directory that it finds: the system identifier stays, and whoever starts first leads. Each
node gets a copy, so that none begins a database of its own; the passwords become those of the new cluster.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from outlive.cluster import making
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.making import Wish
from outlive.cluster.plan.patroni_config import REPLICATION, REWIND, SUPERUSER
from outlive.cluster.spec import ClusterSpec, Secrets
from outlive.errors import ConfigurationError
from outlive.postgres import identity

COPY_LIMIT_S = 6 * 3600.0
# What an earlier Patroni has left in the data: the new one renders its own.
_LEFT = ("patroni.dynamic.json", "postmaster.opts", "outlive-server.log")
_REWIND_NEEDS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


def make(root: Path, wish: Wish) -> tuple[ClusterSpec, Secrets]:
    """The directory of a new cluster, without data.

    Raises:
        ConfigurationError: there is something already, or the wish can't be had.
    """
    directory = ClusterDirectory(root)
    if directory.exists():
        raise ConfigurationError(f"there is a cluster in {root} already", hint="Name another directory.")
    return making.make_or_load(directory, wish)


def set_passwords(sockets: Path, port: int, spec: ClusterSpec, secrets: Secrets) -> None:
    """Give the roles that a cluster needs its passwords, making those that are missing."""
    roles = (
        (SUPERUSER, secrets.superuser, "SUPERUSER LOGIN"),
        (REPLICATION, secrets.replication, "REPLICATION LOGIN"),
        (REWIND, secrets.rewind, "LOGIN"),
        (spec.app_user, secrets.app, "LOGIN"),
    )
    with psycopg.connect(
        host=str(sockets), port=port, user=SUPERUSER, dbname="postgres", autocommit=True
    ) as connection:
        for name, password, options in roles:
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
            verb = "ALTER" if known else "CREATE"
            statement = sql.SQL(f"{verb} ROLE {{}} WITH {options} PASSWORD {{}}")
            connection.execute(statement.format(sql.Identifier(name), verifier))
        for function in _REWIND_NEEDS:
            grant = sql.SQL(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {{}}")
            connection.execute(grant.format(sql.Identifier(REWIND)))
        connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(spec.app_user)))


def settle(root: Path, spec: ClusterSpec, data: Path) -> None:
    """Move the data to the first node and copy it to the others; from now on `outlive up` starts the cluster."""
    directory = ClusterDirectory(root)
    for name in _LEFT:
        (data / name).unlink(missing_ok=True)
    first, *others = [directory.node(node.name) for node in spec.data_nodes]
    first.home.mkdir(mode=0o700)
    data.rename(first.data)
    for files in others:
        files.home.mkdir(mode=0o700)
        subprocess.run(
            [_cp(), "-a", "--reflink=auto", str(first.data), str(files.data)], check=True, timeout=COPY_LIMIT_S
        )
    who = identity.decide(first.data, spec.postgres_bin)
    identity.own(who, [root, *(directory.node(node.name).home for node in spec.data_nodes)])
    # It holds somebody's data: a first start that is cut short must not begin anew.
    directory.made.touch(mode=0o600)


def _cp() -> str:
    found = shutil.which("cp")
    if found is None:
        raise ConfigurationError("the program cp is missing")
    return found


def abandon(root: Path) -> None:
    """Remove what `make` made, where the restore failed."""
    for name in ("cluster.json", "secrets.json"):
        (root / name).unlink(missing_ok=True)
    if root.exists() and not any(root.iterdir()):
        shutil.rmtree(root)
