"""The application's role and database, made once the cluster has a primary."""

from __future__ import annotations

import psycopg
from psycopg import sql

from outlive.cluster.plan.patroni_config import SUPERUSER
from outlive.cluster.spec import ClusterSpec, Secrets
from outlive.errors import ControlPlaneError
from outlive.model.lsn import Lsn

CONNECT_LIMIT_S = 10


def ensure(spec: ClusterSpec, secrets: Secrets) -> Lsn | None:
    """Make the application's role and database where they are missing.

    Returns the position in the WAL by which a standby has them too; None if nothing was missing.

    Raises:
        ControlPlaneError: the primary could not be reached, or refused.
    """
    try:
        with psycopg.connect(_superuser(spec, secrets), autocommit=True) as connection:
            # Not worth waiting for a standby: the next `up` makes what is missing.
            connection.execute("SET synchronous_commit = local")
            made = [_ensure_role(connection, spec, secrets), _ensure_database(connection, spec)]
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone() if any(made) else None
            return Lsn.parse(row[0]) if row else None
    except psycopg.Error as error:
        raise ControlPlaneError(f"the application's database could not be made: {error}") from error


def _superuser(spec: ClusterSpec, secrets: Secrets) -> str:
    return psycopg.conninfo.make_conninfo(
        host=",".join(node.host for node in spec.data_nodes),
        port=",".join(str(node.ports.postgres) for node in spec.data_nodes),
        user=SUPERUSER,
        password=secrets.superuser,
        dbname="postgres",
        target_session_attrs="primary",
        connect_timeout=CONNECT_LIMIT_S,
        application_name="outlive",
    )


def _ensure_role(connection: psycopg.Connection, spec: ClusterSpec, secrets: Secrets) -> bool:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [spec.app_user]).fetchone() is not None:
        return False
    # The verifier, not the password: a statement may end up in the server's log.
    verifier = connection.pgconn.encrypt_password(secrets.app.encode(), spec.app_user.encode(), b"scram-sha-256")
    create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(create.format(sql.Identifier(spec.app_user), verifier.decode()))
    # So that clients see how standbys replicate; it lets nobody read or write a row.
    connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(spec.app_user)))
    return True


def _ensure_database(connection: psycopg.Connection, spec: ClusterSpec) -> bool:
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [spec.database]).fetchone() is not None:
        return False
    create = sql.SQL("CREATE DATABASE {} OWNER {}")
    connection.execute(create.format(sql.Identifier(spec.database), sql.Identifier(spec.app_user)))
    return True
