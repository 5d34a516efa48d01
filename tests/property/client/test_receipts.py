"""A receipt as text says all that it holds."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.model.durability import Durability, Receipt
from outlive.model.lsn import Lsn, Timeline

_names = st.lists(st.text(min_size=1), max_size=3).map(tuple)
_receipts = st.builds(
    Receipt,
    durability=st.sampled_from(Durability),
    node=st.text(min_size=1),
    timeline=st.integers(1, 2**32 - 1).map(Timeline),
    lsn=st.none() | st.integers(0, 2**64 - 1).map(Lsn),
    synchronous_standbys=_names,
    attempts=st.integers(1, 100),
    replayed=st.booleans(),
    system_identifier=st.integers(0, 2**64 - 1).map(str),
    acknowledged_at=st.datetimes(timezones=st.just(UTC)),
    flushed=_names,
)


@given(_receipts)
def test_what_is_written_is_read_again(receipt: Receipt) -> None:
    """Whatever the names of nodes and standbys are."""
    assert Receipt.parse(str(receipt)) == receipt


@given(_receipts)
def test_the_text_needs_no_quotes(receipt: Receipt) -> None:
    """It can be passed to a command, or stand in a URL's path, as it is."""
    assert not set(str(receipt)) & set(" \t\n'\"\\$`*?&|;<>(){}!#")


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    """With one error, whatever is wrong with it."""
    with pytest.raises(ValueError, match="not a receipt"):
        Receipt.parse(text)


@given(_receipts, st.integers(0, 10), st.text(alphabet="/0xA-", max_size=3))
def test_a_damaged_text_is_refused_or_says_what_it_says(receipt: Receipt, field: int, damage: str) -> None:
    """There is one text for a receipt: what is accepted is written back as it was read."""
    fields = str(receipt).split("/")
    fields[field] += damage
    text = "/".join(fields)
    try:
        read = Receipt.parse(text)
    except ValueError:
        return
    assert str(read) == text
