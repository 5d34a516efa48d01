"""What a SQLSTATE says about an attempt."""

import pytest

from outlive.client.plan.retry import FailureKind
from outlive.client.plan.sqlstate import kind_of, kind_of_read_only


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", FailureKind.CONFLICT),
        ("40P01", FailureKind.CONFLICT),
        ("25006", FailureKind.DEMOTED),
        ("57P01", FailureKind.LOST),
        ("57P02", FailureKind.LOST),
        ("57P03", FailureKind.LOST),
        ("08003", FailureKind.LOST),
        ("08006", FailureKind.LOST),
        ("53300", FailureKind.UNREACHABLE),
        ("23505", None),
        ("42P01", None),
        ("57014", None),
        ("40003", FailureKind.LOST),
        ("", None),
    ],
)
def test_only_what_a_retry_can_cure_is_ours(sqlstate: str, kind: FailureKind | None) -> None:
    """Conflicts, demotion, shutdown and lost connections; the rest is the user's."""
    assert kind_of(sqlstate) is kind


@pytest.mark.parametrize(
    ("in_hot_standby", "by_default", "kind"),
    [
        ("on", "off", FailureKind.DEMOTED),
        ("on", "on", FailureKind.DEMOTED),
        (None, None, FailureKind.DEMOTED),
        (None, "on", FailureKind.DEMOTED),
        ("off", "on", FailureKind.READ_ONLY),
        ("off", "off", None),
        ("off", None, None),
    ],
)
def test_a_primary_that_refuses_to_write_was_not_demoted(
    in_hot_standby: str | None, by_default: str | None, kind: FailureKind | None
) -> None:
    """A setting forbids it, or the caller did; where nothing is known of the server it may be a standby."""
    assert kind_of_read_only(in_hot_standby, by_default) is kind
