from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from outlive.backup.plan.arrival import Arrival, complaint, ends_at_the_end, has_all
from outlive.backup.plan.failures import GaveUp, read_log
from outlive.backup.plan.first_page import strangeness
from outlive.backup.plan.recovery import RecoveryPlan
from outlive.backup.plan.recovery_settings import isolated, recovery, render, sizes, without_recovery
from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, TimeTarget
from outlive.backup.plan.verdict import Rows, emptiness, same
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment
from unit.backup.test_recovery_plan import at, hour, planned

SIZE = 1 << 24


def test_a_server_of_a_restore_keeps_to_itself() -> None:
    """It has no port of the network and archives nothing."""
    settings = isolated("/tmp/x", 5432, 18)
    assert (settings["listen_addresses"], settings["archive_mode"]) == ("", "off")


def test_each_target_is_one_setting() -> None:
    """PostgreSQL refuses more than one target; an LSN excludes the record that begins there."""
    moment = datetime(2026, 11, 24, 22, 50, tzinfo=UTC)
    targets = (TimeTarget(moment), LsnTarget(Lsn(1 << 32)), NameTarget("it's"), BackupEnd(), Latest())
    named = [
        {
            name: value
            for name, value in recovery(target, Timeline(2), "x").items()
            if name.startswith("recovery_target")
        }
        for target in targets
    ]
    for each in named:
        each.pop("recovery_target_timeline")
        each.pop("recovery_target_action")
    assert named == [
        {"recovery_target_time": "2026-11-24 22:50:00+00:00"},
        {"recovery_target_lsn": "1/0", "recovery_target_inclusive": "off"},
        {"recovery_target_name": "it's"},
        {"recovery_target": "immediate"},
        {},
    ]
    assert render({"recovery_target_name": "it's"}) == "recovery_target_name = 'it''s'\n"


def test_what_a_server_followed_is_forgotten() -> None:
    """A restored server must not follow, recover from or wait for what the old one did."""
    kept = without_recovery(
        "primary_conninfo = 'x'\nwork_mem = '4MB'\nrecovery_target_time = 'y'\nrestore_command = 'z'\n"
    )
    assert kept == "work_mem = '4MB'\n"
    said = "max_connections setting:              100\nmax_prepared_xacts setting:           7\n"
    assert sizes(said) == {"max_connections": "100", "max_prepared_transactions": "7"}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("FATAL:  recovery ended before configured recovery target was reached", GaveUp.ENDED_BEFORE_TARGET),
        ("FATAL:  requested recovery stop point is before consistent recovery point", GaveUp.BEFORE_CONSISTENCY),
        ("FATAL:  WAL ends before end of online backup", GaveUp.WAL_MISSING),
        ("FATAL:  recovery target timeline 7 does not exist", GaveUp.WRONG_TIMELINE),
        ('PANIC:  could not write to file "pg_wal/x": No space left on device', GaveUp.DISK_FULL),
        ("FATAL:  out of memory", GaveUp.OTHERWISE),
    ],
)
def test_the_last_words_of_a_server_are_understood(line: str, kind: GaveUp) -> None:
    """What made recovery end is told, not that the postmaster ended after it."""
    log = f"LOG:  starting\n{line}\nLOG:  startup process (PID 7) exited with exit code 1\nLOG:  shutting down\n"
    assert read_log(log).kind is kind
    assert line.partition("  ")[2] in read_log(log).words


def page(identifier: int = 7, number: int = 3, timeline: int = 1, info: int = 2, size: int = SIZE) -> bytes:
    """A segment with this first page."""
    head = struct.pack("=HHIQI4xQII", 0xD118, info, timeline, number * SIZE, 0, identifier, size, 8192)
    return head + bytes(SIZE - len(head))


def test_a_segment_is_what_its_name_says() -> None:
    """One of another cluster, place, timeline, size, or of nothing at all is told apart."""
    segment = WalSegment(Timeline(1), 3, SIZE)
    assert strangeness(page(), segment, "7") is None
    found = [
        strangeness(content, segment, "7") or ""
        for content in (page(identifier=8), page(number=4), page(timeline=2), page(info=0), page()[:-1], bytes(SIZE))
    ]
    said = ("belongs to the cluster 8", "another segment's", "timeline 2", "does not begin", "bytes", "does not begin")
    for words, sentence in zip(said, found, strict=True):
        assert words in sentence


def plan() -> RecoveryPlan:
    """The plan for all that is there."""
    return planned(Latest())


def test_recovery_that_ends_early_is_not_taken_for_arrival() -> None:
    """A server that runs has arrived only where it was sent."""
    there = Arrival(at(9.4), hour(9), Timeline(3))
    assert complaint(plan(), there) is None
    assert "although WAL is there" in str(complaint(plan(), replace(there, lsn=at(8.2))))
    assert "before the end of backup" in str(complaint(plan(), replace(there, lsn=at(7.1))))
    moment = planned(TimeTarget(hour(8)))
    assert "later than" in str(complaint(moment, there))
    assert "beyond" in str(complaint(planned(LsnTarget(at(8))), there))


def test_the_end_of_the_wal_is_the_target_where_nothing_follows_it() -> None:
    """Only where the WAL is known to hold all that was asked for; an unknown end proves nothing."""
    newest = planned(LsnTarget(at(9.5)))
    assert ends_at_the_end(newest)
    assert has_all(newest, Arrival(at(9.5), None, Timeline(3)))
    assert not has_all(newest, Arrival(at(9.3), None, Timeline(3)))
    assert not ends_at_the_end(plan())


def test_nothing_is_verified_by_nothing() -> None:
    """No table or no row where there were some is a failure; so is another number or another content."""
    recorded = {"agents": Rows({"public.t": 3}, {"conversations": "a"})}
    assert same(recorded, recorded) == emptiness(recorded, recorded) == []
    assert "no table" in emptiness(recorded, {"agents": Rows({}, {})})[0]
    assert "prove nothing" in emptiness({}, {"agents": Rows({"public.t": 0}, {})})[0]
    assert emptiness({}, {"agents": Rows({"public.t": 1}, {})}) == []
    assert "no row" in emptiness(recorded, {"agents": Rows({"public.t": 0}, {})})[0]
    assert "had 3 rows and has 2" in same(recorded, {"agents": Rows({"public.t": 2}, {"conversations": "a"})})[0]
    assert "content" in same(recorded, {"agents": Rows({"public.t": 3}, {"conversations": "b"})})[0]
    assert same(recorded, {}) == ["database agents is missing"]
