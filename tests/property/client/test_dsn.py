"""A DSN says the same after it was written down."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.client.dsn import Dsn, parse
from outlive.errors import ConfigurationError
from outlive.model.topology import Address

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z0-9.-]{0,10}", fullmatch=True) | st.sampled_from(["::1", "fe80::1", "/tmp/socket"])
hosts = st.lists(st.builds(Address, names, st.integers(1, 65535)), min_size=1, max_size=4, unique=True).map(tuple)
parameters = st.dictionaries(st.sampled_from(["application_name", "options", "myapp.tenant"]), words)

dsns = st.builds(
    Dsn,
    hosts=hosts,
    user=words,
    password=st.none() | words,
    database=st.none() | words,
    parameters=parameters.map(lambda found: tuple(found.items())),
    connect_timeout_s=st.none() | st.integers(1, 60).map(float),
)


@given(dsns)
def test_a_rendered_dsn_is_read_as_it_was(dsn: Dsn) -> None:
    """Every user, password, host, database and parameter survives the text."""
    assert parse(dsn.render()) == dsn


@given(st.text(max_size=60) | st.text(max_size=60).map(lambda text: f"postgresql://{text}"))
def test_any_text_is_a_dsn_or_a_typed_error(text: str) -> None:
    """Nothing else is raised, whatever is passed."""
    with contextlib.suppress(ConfigurationError):
        parse(text)


@given(st.from_regex(r"[A-Za-z0-9]{12,20}", fullmatch=True), st.sampled_from(["h:x", "h,h", "", "h/db?bad=1", "::1"]))
def test_no_error_holds_the_password(password: str, rest: str) -> None:
    """However wrong the rest of a DSN is."""
    with pytest.raises(ConfigurationError) as raised:
        parse(f"postgresql://user:{password}@{rest}")
    assert password not in str(raised.value) + raised.value.hint
