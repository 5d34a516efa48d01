"""Whatever is done to a stream's rows, the walk over it meets it; what was appended passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from outlive.stores.plan.audit_chain import (
    AuditDefect,
    AuditEntry,
    AuditHead,
    Flaw,
    Link,
    canonical,
    check_end,
    entry_hash,
    seal,
    walk,
)

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_contents = st.builds(
    lambda *given: given, st.uuids(), _moments, _texts, _texts, _texts, _texts.map(lambda text: f'"{text}"')
)


def _chain(contents: list[tuple[UUID, datetime, str, str, str, str]], before: Link | None = None) -> list[AuditEntry]:
    """Rows as the database appends them."""
    link, entries = before or Link(), []
    for content in contents:
        entry = _sealed(AuditEntry("t", "s", link.position + 1, *content, link.hash, b"", b"", b""))
        entry = replace(entry, hash=entry_hash(entry))
        link = Link(entry.position, entry.hash)
        entries.append(entry)
    return entries


def _sealed(entry: AuditEntry) -> AuditEntry:
    salts = entry.id.bytes, entry.id.bytes[::-1]
    actor, content = seal(salts[0], entry.actor), seal(salts[1], entry.subject, entry.details_json)
    return replace(entry, actor_salt=salts[0], actor_seal=actor, content_salt=salts[1], content_seal=content)


def _erased(entry: AuditEntry) -> AuditEntry:
    """The row as an erasure of its subject leaves it."""
    return replace(entry, subject="", details_json="null", content_salt=None, erased_at=entry.at)


chains = st.lists(_contents, min_size=2, max_size=8).map(_chain)


def _verdict(entries: list[AuditEntry], head: AuditHead, trusted: AuditHead | None = None) -> AuditDefect | None:
    match walk(Link(), entries, trusted):
        case AuditDefect() as defect:
            return defect
        case reached:
            return check_end(reached, head, trusted)


def _head(entries: list[AuditEntry]) -> AuditHead:
    return AuditHead("t", "s", entries[-1].position, entries[-1].hash)


@given(chains, st.integers(0, 8))
def test_what_was_appended_passes_in_pages_of_any_size(entries: list[AuditEntry], cut: int) -> None:
    """A walk that is interrupted and goes on is the same walk."""
    first = walk(Link(), entries[:cut])
    assert isinstance(first, Link)
    reached = walk(first, entries[cut:], _head(entries))
    assert isinstance(reached, Link)
    assert check_end(reached, _head(entries), _head(entries)) is None


@given(chains, st.data())
def test_an_altered_field_is_found_at_its_row(entries: list[AuditEntry], data: st.DataObject) -> None:
    """Any field of any row, the last one too."""
    place = data.draw(st.integers(0, len(entries) - 1))
    named: tuple[str, st.SearchStrategy[Any]] = data.draw(st.sampled_from([
        ("actor", _texts), ("action", _texts), ("subject", _texts), ("details_json", _texts), ("id", st.uuids()),
        ("at", _moments), ("tenant", _texts),
    ]))  # fmt: skip
    changed: dict[str, Any] = {named[0]: data.draw(named[1])}
    altered = replace(entries[place], **changed)
    assume(altered != entries[place])
    defect = _verdict([*entries[:place], altered, *entries[place + 1 :]], _head(entries))
    assert defect is not None
    assert (defect.flaw, defect.position) == (Flaw.ALTERED, place + 1)


@given(chains, st.data())
def test_a_row_that_was_altered_and_hashed_anew_breaks_the_link(entries: list[AuditEntry], data: st.DataObject) -> None:
    """The row after it does not follow any more; for the last one, the head tells."""
    place = data.draw(st.integers(0, len(entries) - 1))
    altered = _sealed(replace(entries[place], actor=entries[place].actor + "!"))
    altered = replace(altered, hash=entry_hash(altered))
    defect = _verdict([*entries[:place], altered, *entries[place + 1 :]], _head(entries))
    assert defect is not None
    last = place == len(entries) - 1
    assert (defect.flaw, defect.position) == ((Flaw.REPLACED, place + 1) if last else (Flaw.UNLINKED, place + 2))


@given(chains, st.data())
def test_a_missing_row_is_named(entries: list[AuditEntry], data: st.DataObject) -> None:
    """In the middle it is missing, at the end the stream was cut."""
    place = data.draw(st.integers(0, len(entries) - 1))
    defect = _verdict(entries[:place] + entries[place + 1 :], _head(entries))
    assert defect is not None
    assert defect.position == place + 1
    assert defect.flaw is (Flaw.CUT if place == len(entries) - 1 else Flaw.MISSING)


@given(chains, _contents, st.data())
def test_an_inserted_row_is_found(
    entries: list[AuditEntry], content: tuple[UUID, datetime, str, str, str, str], data: st.DataObject
) -> None:
    """Beside a row of its position, or in its place with the rest moved up: the walk ends there or right after."""
    place = data.draw(st.integers(1, len(entries)))
    link = Link(entries[place - 1].position, entries[place - 1].hash)
    inserted = _chain([content], link)[0]
    assume(place == len(entries) or inserted != entries[place])
    beside = _verdict([*entries[:place], inserted, *entries[place:]], _head(entries))
    moved = [replace(entry, position=entry.position + 1) for entry in entries[place:]]
    shifted = _verdict([*entries[:place], inserted, *moved], _head(entries))
    assert beside is not None
    assert shifted is not None
    assert {beside.position, shifted.position} <= {place + 1, place + 2}


@given(chains, st.data())
def test_exchanged_rows_are_found(entries: list[AuditEntry], data: st.DataObject) -> None:
    """Two rows that changed places: the first of the two is named."""
    a, b = sorted(data.draw(st.sets(st.integers(0, len(entries) - 1), min_size=2, max_size=2)))
    mixed = list(entries)
    mixed[a], mixed[b] = replace(entries[b], position=a + 1), replace(entries[a], position=b + 1)
    defect = _verdict(mixed, _head(mixed))
    assert defect is not None
    assert (defect.flaw, defect.position) == (Flaw.UNLINKED, a + 1)


@given(chains, st.data())
def test_only_a_noted_head_finds_a_stream_that_was_computed_anew(
    entries: list[AuditEntry], data: st.DataObject
) -> None:
    """Rewritten from a row on with its head, or cut with its head, a stream looks whole by itself."""
    place = data.draw(st.integers(0, len(entries) - 1))
    rest = [(e.id, e.at, f"{e.actor}!", e.action, e.subject, e.details_json) for e in entries[place:]]
    link = Link(place, entries[place - 1].hash) if place else Link()
    rewritten = [*entries[:place], *_chain(rest, link)]
    assert _verdict(rewritten, _head(rewritten)) is None
    found = _verdict(rewritten, _head(rewritten), _head(entries))
    assert found is not None
    assert (found.flaw, found.position) == (Flaw.REPLACED, len(entries))
    cut = entries[: len(entries) - 1]
    assert _verdict(cut, _head(cut)) is None
    assert _verdict(cut, _head(cut), _head(entries)) is not None


@given(chains)
def test_no_two_rows_have_one_canonical_form(entries: list[AuditEntry]) -> None:
    """What moves from one field to the next changes the bytes."""
    entry = replace(entries[0], tenant="ab", stream="c")
    assert canonical(entry) != canonical(replace(entry, tenant="a", stream="bc"))
    assert seal(b"", "ab", "c") != seal(b"", "a", "bc")
    assert canonical(entry) != canonical(replace(entry, at=entry.at + timedelta(microseconds=1)))


@given(chains, st.sets(st.integers(0, 7)))
def test_erased_rows_keep_the_chain_and_are_counted(entries: list[AuditEntry], chosen: set[int]) -> None:
    """Whichever rows were erased, the walk passes and knows how many there are."""
    rows = [_erased(entry) if place in chosen else entry for place, entry in enumerate(entries)]
    reached = walk(Link(), rows)
    assert reached == Link(len(rows), rows[-1].hash, len(chosen & set(range(len(rows)))))


@given(chains, st.integers(0, 7), st.sampled_from(["actor", "action", "subject", "details_json"]))
def test_what_an_erased_row_says_is_found(entries: list[AuditEntry], place: int, field: str) -> None:
    """Nothing can be put into its place: neither what was not there, nor another actor or action."""
    place %= len(entries)
    other: dict[str, Any] = {field: '"something else"'}
    row = replace(_erased(entries[place]), **other)
    verdict = walk(Link(), [*entries[:place], row, *entries[place + 1 :]])
    assert isinstance(verdict, AuditDefect)
    assert (verdict.flaw, verdict.position) == (Flaw.ALTERED, place + 1)


@given(chains, st.integers(0, 7), st.sets(st.sampled_from(["actor_seal", "content_seal"]), min_size=1), st.booleans())
def test_a_row_whose_seals_were_removed_is_found(
    entries: list[AuditEntry], place: int, seals: set[str], is_erased: bool
) -> None:
    """Even the last row, hashed anew with its head, and even one that says that it was erased."""
    place %= len(entries)
    row = _erased(entries[place]) if is_erased else entries[place]
    for gone in (None, b""):
        removed: dict[str, Any] = dict.fromkeys(seals, gone)
        bare = replace(row, **removed)
        verdict = walk(Link(), [*entries[:place], bare, *entries[place + 1 :]])
        assert isinstance(verdict, AuditDefect)
        assert (verdict.flaw, verdict.position) == (Flaw.ALTERED, place + 1)
    anew = replace(bare, hash=entry_hash(bare))
    assert isinstance(walk(Link(), [*entries[:place], anew]), AuditDefect)
