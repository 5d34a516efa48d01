"""What a SQLSTATE says about an attempt."""

import pytest

from outlive.client.plan.retry import FailureKind
from outlive.client.plan.sqlstate import kind_of


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
