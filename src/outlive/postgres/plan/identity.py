"""Under which account a cluster's programs run. PostgreSQL refuses root.

In order: not root, as it is; root with a fit unprivileged account, as that account; root where user namespaces
work, in one, where the programs see an unprivileged account while the files stay root's; else a refusal.
A cluster that exists keeps to the account that owns its files.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT = 0


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account that could be used, and why it can't, if so: None means that its pre-flight passed."""

    name: str
    uid: int
    gid: int
    unfit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFacts:
    """Who asks, who owns the cluster's directory (None: it is new), and what the pre-flights said."""

    euid: int
    owner_uid: int | None
    accounts: tuple[AccountFacts, ...]
    namespace_unfit: str | None


@dataclass(frozen=True, slots=True)
class AsIs:
    """Run as whoever asks."""


@dataclass(frozen=True, slots=True)
class Account:
    """Run as this account."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """Run in a user namespace in which root's files belong to an unprivileged account."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """It can't be done, and why."""

    reason: str


Identity = AsIs | Account | UserNamespace


def choose(facts: IdentityFacts) -> Identity | Refusal:
    """The account to run under."""
    if facts.euid != ROOT:
        if facts.owner_uid not in (None, facts.euid):
            return Refusal(f"the directory belongs to the account with uid {facts.owner_uid}")
        return AsIs()
    for account in facts.accounts:
        if account.unfit is None and facts.owner_uid in (None, account.uid):
            return Account(account.name, account.uid, account.gid)
    if facts.owner_uid in (None, ROOT) and facts.namespace_unfit is None:
        return UserNamespace()
    return Refusal("; ".join(_reasons(facts)))


def _reasons(facts: IdentityFacts) -> list[str]:
    reasons = ["PostgreSQL does not run as root"]
    if facts.owner_uid not in (None, ROOT):
        reasons.append(f"the directory belongs to uid {facts.owner_uid}")
    reasons += [f"account {account.name}: {account.unfit}" for account in facts.accounts if account.unfit]
    if not facts.accounts:
        reasons.append("there is no account named outlive or postgres")
    if facts.namespace_unfit is not None:
        reasons.append(f"user namespaces: {facts.namespace_unfit}")
    return reasons
