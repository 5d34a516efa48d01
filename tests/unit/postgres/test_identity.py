"""Under which account a cluster runs."""

from __future__ import annotations

import pytest

from outlive.postgres.plan.identity import (
    Account,
    AccountFacts,
    AsIs,
    Identity,
    IdentityFacts,
    Refusal,
    UserNamespace,
    choose,
)

FIT = AccountFacts("postgres", 101, 104, None)
UNFIT = AccountFacts("postgres", 101, 104, "it can't read the interpreter")


def facts(
    *,
    euid: int = 0,
    owner_uid: int | None = None,
    accounts: tuple[AccountFacts, ...] = (),
    namespace_unfit: str | None = None,
) -> IdentityFacts:
    """Root on a machine with nothing but user namespaces, unless said otherwise."""
    return IdentityFacts(euid=euid, owner_uid=owner_uid, accounts=accounts, namespace_unfit=namespace_unfit)


@pytest.mark.parametrize(
    ("case", "identity"),
    [
        (facts(euid=1000), AsIs()),
        (facts(euid=1000, owner_uid=1000), AsIs()),
        (facts(accounts=(FIT,)), Account("postgres", 101, 104)),
        (facts(accounts=(UNFIT,)), UserNamespace()),
        (facts(), UserNamespace()),
        (facts(owner_uid=0, accounts=(FIT,)), UserNamespace()),
        (facts(owner_uid=101, accounts=(FIT,), namespace_unfit="no"), Account("postgres", 101, 104)),
    ],
)
def test_choice(case: IdentityFacts, identity: Identity) -> None:
    """Not root: as is; root: a fit account, else a namespace; an existing cluster keeps to its owner."""
    assert choose(case) == identity


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (facts(euid=1000, owner_uid=0), "uid 0"),
        (facts(namespace_unfit="forbidden here"), "forbidden here"),
        (facts(accounts=(UNFIT,), namespace_unfit="no"), "it can't read the interpreter"),
        (facts(owner_uid=101, accounts=(UNFIT,)), "uid 101"),
    ],
)
def test_refusal(case: IdentityFacts, reason: str) -> None:
    """Where nothing fits, the refusal names every reason."""
    refusal = choose(case)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
