"""How clients, PostgreSQL's programs and this one's own sessions reach the local cluster."""

from __future__ import annotations

from urllib.parse import quote

from outlive.cluster.plan.patroni_config import REPLICATION, SUPERUSER
from outlive.cluster.spec import ClusterSpec, Secrets
from outlive.model.topology import Address
from outlive.postgres.access import Access, Login


def dsn(spec: ClusterSpec, secrets: Secrets) -> str:
    """The DSN of the application's user, every data node in it; any driver finds the primary with it.

    On the loopback interface no server speaks TLS, so no driver need ask for it.
    """
    hosts = ",".join(f"{node.host}:{node.ports.postgres}" for node in spec.data_nodes)
    login, name = f"{quote(spec.app_user)}:{quote(secrets.app)}", quote(spec.database)
    return f"postgresql://{login}@{hosts}/{name}?target_session_attrs=primary&sslmode=disable"


def access(spec: ClusterSpec, secrets: Secrets, database: str | None = None) -> Access:
    """How the cluster's own superuser and its replication reach every data node."""
    addresses = tuple(Address(node.host, node.ports.postgres) for node in spec.data_nodes if node.ports.postgres)
    login, replication = Login(SUPERUSER, secrets.superuser), Login(REPLICATION, secrets.replication)
    return Access(addresses, login, replication, database or spec.database)


def pgpass(spec: ClusterSpec, secrets: Secrets) -> str:
    """The same passwords for libpq's programs. Source: PostgreSQL documentation, "The Password File"."""
    users = ((spec.app_user, secrets.app), (SUPERUSER, secrets.superuser))
    return "".join(
        f"{node.host}:{node.ports.postgres}:*:{user}:{password}\n"
        for node in spec.data_nodes
        for user, password in users
    )
