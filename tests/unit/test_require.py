import pytest

from require import require


def test_a_part_that_is_there_lets_the_test_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens when the part is present, even where every part is required."""
    monkeypatch.setenv("OUTLIVE_REQUIRE", "all")
    require("pgbouncer", True, "not installed")


def test_a_missing_part_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of which nothing is asked, the test is skipped and says what it lacked."""
    monkeypatch.delenv("OUTLIVE_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="pgbouncer: not installed"):
        require("pgbouncer", False, "not installed")


@pytest.mark.parametrize("asked", ["all", "pgbouncer", "root,pgbouncer"])
def test_a_missing_part_that_is_required_fails(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """Where the part is asked for by name or with all others, its absence is a failure, not a skip."""
    monkeypatch.setenv("OUTLIVE_REQUIRE", asked)
    with pytest.raises(pytest.fail.Exception, match="required here, but absent: pgbouncer"):
        require("pgbouncer", False, "not installed")


def test_another_required_part_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of required parts binds those parts only."""
    monkeypatch.setenv("OUTLIVE_REQUIRE", "root")
    with pytest.raises(pytest.skip.Exception):
        require("pgbouncer", False, "not installed")
