"""`outlive state maintain`: what all stores need from time to time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from outlive.cli import state
from outlive.cli.ages import age_of
from outlive.cli.terminal import Json, call_or_exit, put, put_json, say

NOT_ALL_DONE = 1

FOR_EVER = "for ever"
Conversations = Annotated[str | None, typer.Option(help="Those that nobody changed since.", show_default=FOR_EVER)]
Documents = Annotated[str | None, typer.Option(help="Retrieved documents.", show_default=FOR_EVER)]
Entries = Annotated[str | None, typer.Option(help="Entries of the audit log.", show_default=FOR_EVER)]


def maintain(
    keep_conversations: Conversations = None,
    keep_tasks: Annotated[str, typer.Option(help="Those that finished or were cancelled.")] = "30d",
    keep_events: Annotated[str, typer.Option(help="Events, by whole days.")] = "30d",
    keep_context: Documents = None,
    keep_audit: Entries = None,
    keep_keys: Annotated[str, typer.Option(help="Keys of requests that are applied once.")] = "24h",
    at_most: Annotated[str, typer.Option(help="How long it goes on; the next call goes on from there.")] = "10m",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and leave it.")] = False,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Remove what is old from every store, and make room for the days to come; for once a day, from cron.

    It goes in small batches, and may be stopped and begun again. Conversations, documents and the audit log are kept
    for ever unless you say for how long. Events, keys and the audit log take the role that migrated, or a member of
    outlive_owner. It ends with 1 if a step was not done to its end.

    \b
    Examples:
      outlive state maintain --dry-run
      outlive state maintain --keep-conversations 365d --keep-audit 400d
      outlive state maintain --json --at-most 5m
    """
    from outlive.stores.maintenance import Keep

    def age(text: str | None) -> timedelta | None:
        return None if text is None else age_of(text)

    keep = call_or_exit(
        lambda: Keep(
            conversations=age(keep_conversations),
            tasks=age(keep_tasks),
            context=age(keep_context),
            events=age(keep_events),
            audit=age(keep_audit),
            keys=age_of(keep_keys),
        )
    )
    at_most_s = call_or_exit(lambda: age_of(at_most)).total_seconds()
    done = state.with_state(dsn, lambda stores: stores.maintain(keep, at_most_s=at_most_s, dry_run=dry_run))
    if json:
        put_json({"removed": dict(done.removed), "failed": dict(done.failed), "dry_run": dry_run})
    else:
        put("\n".join(f"{number:8} {name}" for name, number in done.removed.items()))
        for name, reason in done.failed.items():
            say(f"outlive: {name}: {reason}")
    if done.failed:
        raise typer.Exit(NOT_ALL_DONE)
