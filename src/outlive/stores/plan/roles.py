"""Who may do what: four roles without a login, which an administrator grants to those that log in.

`outlive_owner` owns the schema and everything in it, and migrates. `outlive_app` reads and writes rows; it makes,
alters and drops nothing, and adds to the audit log by its function alone. `outlive_reader` reads. `outlive_monitor`
sees sizes, and no row; `pg_monitor` is not its, as that shows the text of running statements with what is in them.

Roles belong to the server, not to a database. Whoever migrates may often not make them: then nothing is done, and the
statements that are missing are the answer.

Source: PostgreSQL documentation, "Role Attributes", "Predefined Roles", "ALTER DEFAULT PRIVILEGES".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

OWNER = "outlive_owner"
APP = "outlive_app"
READER = "outlive_reader"
MONITOR = "outlive_monitor"
ROLES = (OWNER, APP, READER, MONITOR)
WATCHING = (APP,)
"""Who needs `pg_monitor`: a client that writes sees by it whether a synchronous standby is in force."""


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """Who asks, what that role may do, and what there is already.

    `users` are the roles that work with the schema today: who asks, and who owns it; `members` those of them that may
    act as the owner's role, be it as superusers.
    """

    may_create_roles: bool
    may_grant_monitor: bool
    known: frozenset[str]
    users: frozenset[str]
    members: frozenset[str]
    watching: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grant:
    """These statements are to be run first, by whoever asks; then the rights on the schema can be given."""

    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdministratorNeeded:
    """The role that asks may not: an administrator has to run these, once."""

    statements: tuple[str, ...]


def plan_roles(facts: RoleFacts) -> Grant | AdministratorNeeded:
    """What has to be done about the server's roles."""
    creating, granting = tuple(_roles(facts)), tuple(_watching(facts))
    may_create = facts.may_create_roles or not creating
    may_grant = facts.may_grant_monitor or not granting
    statements = creating + granting
    return Grant(statements) if may_create and may_grant else AdministratorNeeded(statements)


def quoted_name(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _roles(facts: RoleFacts) -> Iterator[str]:
    for role in ROLES:
        if role not in facts.known:
            yield f"CREATE ROLE {role} NOLOGIN"
    for user in sorted(facts.users - facts.members - {OWNER}):
        yield f"GRANT {OWNER} TO {quoted_name(user)}"


def _watching(facts: RoleFacts) -> Iterator[str]:
    for role in WATCHING:
        if role not in facts.watching:
            yield f"GRANT pg_monitor TO {role}"
