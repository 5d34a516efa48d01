"""What a statement may leave behind in its session."""

from __future__ import annotations

import pytest

from outlive.client.plan.residue import Residue, residue


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "update turns set body = $1 where id = $2",
        "insert into turns values ($1) on conflict do update set body = excluded.body",
        "set local statement_timeout = 1000",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "set constraints all deferred",
        "select template from attempts",
        "create table settings (id int)",
        "select resets, listeners, prepared from calls",
    ],
)
def test_ordinary_statements_leave_nothing(sql: str) -> None:
    """What most programs send costs no reset."""
    assert residue(sql) is Residue.NONE


@pytest.mark.parametrize(
    "sql",
    [
        "set search_path = mine",
        "SET SESSION work_mem = '64MB'",
        "  -- why\n set role other",
        "/* why */ set role other",
        "select 1; set role other",
        "reset all",
        "listen news",
        "declare c cursor with hold for select 1",
        "prepare p as select 1",
        "create temp table t (id int)",
        "create temporary table t (id int)",
        "select * into temp t from turns",
        "create table pg_temp.t (id int)",
        "select set_config('search_path', 'mine', false)",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared(1)",
        "do $$ begin perform 1; end $$",
        "call anything()",
    ],
)
def test_what_a_session_keeps_asks_for_a_reset(sql: str) -> None:
    """Settings, subscriptions, cursors, prepared statements, temporary tables, locks, and what may do any of it."""
    assert residue(sql) is Residue.RESET


@pytest.mark.parametrize("sql", ["load 'auto_explain'", "discard all", "deallocate all"])
def test_what_no_reset_removes_asks_for_a_new_session(sql: str) -> None:
    """A library stays loaded, and the driver's own prepared statements stay lost."""
    assert residue(sql) is Residue.LASTING
