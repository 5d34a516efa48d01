"""Placeholders in rendered text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.cluster.plan.placeholders import fill

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@given(st.text(), st.dictionaries(NAMES, st.text()))
def test_text_without_placeholders_stays(text: str, values: dict[str, str]) -> None:
    """What is no placeholder is not touched."""
    plain = text.replace("$", "")
    assert fill(plain, values) == plain


@given(NAMES, st.text())
def test_known_names_are_filled_in_once(name: str, value: str) -> None:
    """A value goes in as it is, even if it looks like a placeholder itself; an unknown name stays."""
    assert fill(f"a${{{name}}}b", {name: value}) == f"a{value}b"
    assert fill(f"${{{name}}}", {}) == f"${{{name}}}"
