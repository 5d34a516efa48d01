"""`outlive state erase` and `retention`: what agents keep, forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from outlive.cli import state
from outlive.cli.ages import age_of
from outlive.cli.terminal import Json, call_or_exit, put, put_json, say


def erase(
    ids: Annotated[list[str] | None, typer.Argument(help="Conversations.")] = None,
    subject: Annotated[str | None, typer.Option(help="Whoever it is about: all that is kept for them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before erasing.")] = False,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Erase conversations and everything that hangs on them, in every store.

    Their ids can't be used again for a week. Backups keep what they hold until their retention ends. In the audit log
    the entries stay, without what they said, if the role owns it; else it says how many remain.

    \b
    Examples:
      outlive state erase trip-7
      outlive state erase --subject c-1 --yes
    """
    named = ", ".join([*(ids or []), *([f"all of {subject}"] if subject else [])])
    if named and not yes and not typer.confirm(f"Erase {named} for good?", err=True):
        say("nothing was changed")
        raise typer.Exit(1)
    report = state.with_state(dsn, lambda stores: stores.conversations.erase(*(ids or []), subject=subject))
    if json:
        put_json({"rows": dict(report.rows), "remaining": dict(report.remaining)})
    else:
        put("\n".join(f"{rows:8} {table}" for table, rows in report.rows.items()) or "There was nothing to erase.")
    for table, rows in report.remaining.items():
        say(f"outlive: {rows} rows of {table} name them still: say it again as the role that migrated, or a member of")
        say("  outlive_owner")


def retention(
    older_than: Annotated[str, typer.Option(help="How long nothing changed in them: 90d, 12h.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and leave them.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="How many at a time.")] = 200,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Forget conversations that have not changed for long and that nobody holds.

    It goes in small batches, and may be stopped and begun again.

    \b
    Examples:
      outlive state retention --older-than 90d --dry-run
      outlive state retention --older-than 90d
    """
    from dataclasses import asdict

    age = call_or_exit(lambda: age_of(older_than))
    done = state.with_state(
        dsn,
        lambda stores: stores.conversations.retention(
            age,
            batch=batch,
            dry_run=dry_run,
            on_progress=lambda so_far: (
                say(f"{so_far.conversations} conversations") if so_far.batches % 50 == 0 else None
            ),
        ),
    )
    if json:
        put_json(asdict(done) | {"dry_run": dry_run})
    else:
        what = "would be forgotten" if dry_run else "forgotten"
        put(f"{done.conversations} conversations with {done.turns} turns {what}")
