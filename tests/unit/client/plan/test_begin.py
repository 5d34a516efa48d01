"""The first message of a transaction."""

from outlive.client.plan.begin import begin_message, quoted, tenant_setting
from outlive.model.lsn import Timeline


def test_class_isolation_and_fence_travel_in_one_message() -> None:
    """One text holds all that the transaction has to keep."""
    text = begin_message("local", Timeline(26), "ANY 1 (n2)", "repeatable_read")
    assert text.startswith("BEGIN ISOLATION LEVEL REPEATABLE READ;SET LOCAL synchronous_commit = local;SELECT ")
    assert "'0000001A'" in text
    assert "<> 'ANY 1 (n2)'" in text


def test_quotes_are_doubled() -> None:
    """A setting can't leave its string constant."""
    assert quoted("it's") == "'it''s'"
    assert quoted("a\\'b") == "E'a\\\\''b'"


def test_a_tenant_can_t_end_its_quotes() -> None:
    """Whatever it is called, it is one constant of a statement that lasts as long as the transaction."""
    assert tenant_setting("acme") == "SET LOCAL outlive.tenant = 'acme'"
    assert tenant_setting("a'b\\") == "SET LOCAL outlive.tenant = E'a''b\\\\'"
