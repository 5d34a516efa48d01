"""How a server is reached by a driver and by PostgreSQL's own programs; no password is ever an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import asyncpg

from outlive.errors import UnavailableError
from outlive.model.topology import Address

CONNECT_LIMIT_S = 5.0
APPLICATION = "outlive-backup"
_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "passfile": "PGPASSFILE",
    "krbsrvname": "PGKRBSRVNAME",
}

# What would lead elsewhere, and secrets that the program has no use for.
_NOT_INHERITED = ("PGSERVICE", "PGHOST", "PGOPTIONS", "PGDATABASE", "OUTLIVE_", "AWS_", "GOOGLE_", "AZURE_")

# A program waits for whoever takes what it writes. While a store answers slowly it reads nothing, and a server that
# gives up connections whose data is not taken within seconds, as ours do, would end the backup for it.
_PATIENT = "-c tcp_user_timeout=0"


@dataclass(frozen=True, slots=True)
class Login:
    """A role, and its password where the environment or a password file doesn't have it."""

    user: str | None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """The nodes of one cluster, and who we are there: for statements, and for the replication protocol.

    `parameters` are libpq's, of the way to the server: `sslmode` and the like.
    """

    addresses: tuple[Address, ...]
    login: Login
    replication: Login
    database: str = "postgres"
    parameters: tuple[tuple[str, str], ...] = ()


def environment(access: Access, address: Address, login: Login, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for one of PostgreSQL's programs. The password stands in it, never in its arguments.

    Source: PostgreSQL documentation, "Environment Variables".
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith(_NOT_INHERITED)}
    said = {
        **{_VARIABLES[key]: value for key, value in access.parameters if key in _VARIABLES},
        "PGHOST": address.host,
        "PGPORT": str(address.port),
        "PGDATABASE": access.database,
        "PGAPPNAME": APPLICATION,
        "PGCONNECT_TIMEOUT": str(int(CONNECT_LIMIT_S)),
        "PGOPTIONS": _PATIENT,
    }
    if login.user is not None:
        said["PGUSER"] = login.user
    if login.password is not None:
        said["PGPASSWORD"] = login.password
    return kept | said


async def connect(access: Access, address: Address, database: str | None = None) -> asyncpg.Connection:
    """A session at one node; it gives up the statement that a lost client left.

    Raises:
        UnavailableError: the node doesn't answer, or refuses.
    """
    try:
        return await asyncpg.connect(
            f"postgresql:///?{urlencode([pair for pair in access.parameters if pair[0] in _VARIABLES])}",
            host=address.host,
            port=address.port,
            user=access.login.user,
            password=access.login.password,
            database=database or access.database,
            timeout=CONNECT_LIMIT_S,
            server_settings={"application_name": APPLICATION},
            statement_cache_size=0,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"{address} can't be reached: {str(error) or type(error).__name__}") from None
