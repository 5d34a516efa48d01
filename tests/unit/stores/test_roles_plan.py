"""What has to be done about the server's roles, and by whom."""

from __future__ import annotations

from dataclasses import replace

from outlive.stores.plan.roles import ROLES, AdministratorNeeded, Grant, RoleFacts, plan_roles, quoted_name

NOBODY = RoleFacts(False, False, frozenset(), frozenset({"app"}), frozenset(), frozenset())
DONE = replace(NOBODY, known=frozenset(ROLES), members=frozenset({"app"}), watching=frozenset(ROLES))


def test_whoever_may_nothing_is_told_everything() -> None:
    """Each statement that is missing, ready to be run."""
    assert plan_roles(NOBODY) == AdministratorNeeded((
        "CREATE ROLE outlive_owner NOLOGIN", "CREATE ROLE outlive_app NOLOGIN", "CREATE ROLE outlive_reader NOLOGIN",
        "CREATE ROLE outlive_monitor NOLOGIN", 'GRANT outlive_owner TO "app"', "GRANT pg_monitor TO outlive_app",
    ))  # fmt: skip


def test_nothing_is_needed_of_anybody_once_it_was_done() -> None:
    """Then a role without any right on others may renew the rights."""
    assert plan_roles(DONE) == Grant(())


def test_a_superuser_lets_the_former_owner_in() -> None:
    """Who migrated before would be locked out of its own tables otherwise; a superuser needs no membership."""
    superuser = replace(DONE, may_create_roles=True, may_grant_monitor=True, users=frozenset({"app", "postgres"}))
    assert plan_roles(replace(superuser, members=frozenset({"postgres"}))) == Grant(('GRANT outlive_owner TO "app"',))
    assert plan_roles(replace(superuser, users=frozenset({"outlive_owner"}), members=frozenset())) == Grant(())


def test_who_may_make_roles_may_still_not_give_the_servers_own() -> None:
    """`pg_monitor` can be given only by who has it with the right to give it."""
    maker = replace(NOBODY, may_create_roles=True)
    assert isinstance(plan_roles(maker), AdministratorNeeded)
    assert isinstance(plan_roles(replace(maker, may_grant_monitor=True)), Grant)
    assert isinstance(plan_roles(replace(maker, watching=frozenset(ROLES))), Grant)


def test_a_name_can_t_end_its_quotes() -> None:
    """Whatever a role is called."""
    assert quoted_name('a"b') == '"a""b"'
