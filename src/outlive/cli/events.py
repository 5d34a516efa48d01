"""`outlive state events`: how many there are, and how long they are kept."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from outlive.cli import state
from outlive.cli.ages import age_of
from outlive.cli.terminal import Json, call_or_exit, put, put_json

app = typer.Typer(help="Count events, and drop the old ones.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Count events, and drop the old ones."""


@app.command()
def count(
    since: Annotated[str, typer.Option(help="Those of this time: 90d, 12h, 30m.")] = "1d",
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Count the events of each kind.

    \b
    Examples:
      outlive state events count
      outlive state events count --since 12h --json
    """
    begins_at = datetime.now(UTC) - call_or_exit(lambda: age_of(since))
    counts = state.with_state(dsn, lambda stores: stores.events.count(since=begins_at))
    if json:
        put_json(counts)
        return
    width = max(map(len, counts), default=0)
    put("\n".join(f"{kind:{width}}  {number:,}" for kind, number in counts.items()) or "There are none.")


@app.command()
def maintain(
    keep: Annotated[str, typer.Option(help="How long events are kept: 90d, 12h.")] = "30d",
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Drop the days that are over for longer than that, and make those to come; for once a day.

    It takes the role that migrated, or a member of outlive_owner.

    \b
    Examples:
      outlive state events maintain
      outlive state events maintain --keep 90d
    """
    days = call_or_exit(lambda: age_of(keep)).total_seconds() / 86_400
    done = state.with_state(dsn, lambda stores: stores.events.maintain(days))
    if json:
        put_json(asdict(done))
        return
    put(f"{done.days_dropped} days dropped, {done.events_deleted} other events deleted, {done.days_made} days made.")
