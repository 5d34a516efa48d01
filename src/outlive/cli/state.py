"""`outlive state`: what agents keep, from the shell.

Each command imports what it needs when it runs, as those around a cluster do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from outlive.cli.terminal import Json, await_or_exit, call_or_exit, put, put_json, say

if TYPE_CHECKING:
    from outlive.stores import AgentState, Page

T = TypeVar("T")

app = typer.Typer(
    help="Show, export, import and erase what agents keep.",
    no_args_is_help=True,
)

Dsn = Annotated[
    str | None, typer.Option(help="The database.", show_default="$OUTLIVE_DSN, else the local cluster that is up")
]
Status = Annotated[str | None, typer.Option(help="Only those that are `open`, or `complete`.")]
Since = Annotated[str | None, typer.Option(help="Only those changed in this time (90d, 12h, 30m), or since this one.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
After = Annotated[str | None, typer.Option(help="Go on after a page: the `next` that it ended with.")]


@app.callback()
def _group() -> None:
    """Show, export, import and erase what agents keep."""


def with_state(dsn: str | None, work: Callable[[AgentState], Awaitable[T]]) -> T:
    """Do `work` with the stores of a database, or end the command with the error's exit code."""
    import outlive
    from outlive.stores import AgentState

    async def connected() -> T:
        async with outlive.connect(dsn) as db:
            return await work(AgentState(db))

    return await_or_exit(connected())


@app.command("list")
def list_conversations(
    status: Status = None,
    since: Since = None,
    limit: Limit = 100,
    after: After = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List conversations, those made last first.

    \b
    Examples:
      outlive state list
      outlive state list --status open --since 12h
      outlive state list --json --limit 1000
    """
    changed_since = call_or_exit(lambda: _since(since))
    page = with_state(
        dsn,
        lambda state: state.conversations.list(
            status=status,  # type: ignore[arg-type]
            updated_since=changed_since,
            limit=limit,
            after=after,
        ),
    )
    _put_page(page, json=json)


@app.command()
def search(
    metadata: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="What it says; may be repeated.")],
    status: Status = None,
    since: Since = None,
    limit: Limit = 100,
    after: After = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List the conversations whose metadata says this.

    A value is read as JSON where it is JSON, else as a string; a.b=1 looks for {"a": {"b": 1}}.

    \b
    Examples:
      outlive state search --metadata customer=c-1
      outlive state search --metadata trip.class=2 --metadata 'tags=["night"]'
    """
    from outlive.cli.state_view import metadata_of

    sought = call_or_exit(lambda: metadata_of(metadata))
    changed_since = call_or_exit(lambda: _since(since))
    page = with_state(
        dsn,
        lambda state: state.conversations.search(
            sought,
            status=status,  # type: ignore[arg-type]
            updated_since=changed_since,
            limit=limit,
            after=after,
        ),
    )
    _put_page(page, json=json)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The conversation's id.")],  # noqa: A002 - the word of the field
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show one conversation: its turns, tool calls and the last checkpoint.

    \b
    Examples:
      outlive state show trip-7
      outlive state show trip-7 --json
    """
    from outlive.cli import state_view

    picture = with_state(dsn, lambda state: state.conversations.load(id))
    if json:
        put_json(state_view.picture_as_json(picture))
    else:
        put(state_view.picture_as_text(picture))


@app.command()
def fork(
    id: Annotated[str, typer.Argument(help="The conversation to begin from.")],  # noqa: A002
    new_id: Annotated[str, typer.Argument(help="The id of the new one.")],
    at_turn: Annotated[str | None, typer.Option(help="The last turn to take along.", show_default="all")] = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Begin a conversation with the turns of another one.

    \b
    Examples:
      outlive state fork trip-7 trip-7-again --at-turn t1
    """
    turns = with_state(dsn, lambda state: state.conversations.fork(id, new_id, at_turn=at_turn))
    if json:
        put_json({"id": new_id, "turns": turns})
    else:
        put(f"{new_id} begins with {turns} turns of {id}.")


@app.command()
def export(
    ids: Annotated[list[str] | None, typer.Argument(help="Conversations.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All conversations there are.")] = False,
    format: Annotated[str, typer.Option(help="`jsonl`: everything; `openai`: what was said.")] = "jsonl",  # noqa: A002
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file.", show_default="stdout")] = None,
    dsn: Dsn = None,
) -> None:
    """Write conversations as lines of JSON, each as it is at one moment.

    \b
    Examples:
      outlive state export trip-7
      outlive state export --all -o conversations.jsonl
      outlive state export --all --format openai > chats.jsonl
    """
    from outlive.cli.state_files import export_to

    count = with_state(dsn, lambda state: export_to(state, ids or [], output, everything=all_, format=format))
    say(f"exported {count} conversations")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="What `export` wrote, or chats in the OpenAI format.")],
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Keep the conversations of a file: each whole, or not at all.

    What is there with the same content is left as it is, so a file may be imported again. A damaged line ends the
    import; what was whole before it is kept.

    \b
    Examples:
      outlive state import conversations.jsonl
    """
    from dataclasses import asdict

    from outlive.cli.state_files import import_from

    report = with_state(dsn, lambda state: import_from(state, file))
    if json:
        put_json(asdict(report))
    else:
        put(
            f"imported {report.imported} conversations with {report.turns} turns; {report.unchanged} were there already"
        )


@app.command()
def erase(
    ids: Annotated[list[str] | None, typer.Argument(help="Conversations.")] = None,
    subject: Annotated[str | None, typer.Option(help="Whoever it is about: all that is kept for them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before erasing.")] = False,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Erase conversations and everything that hangs on them, in every store.

    Their ids can't be used again for a week. Backups keep what they hold until their retention ends.

    \b
    Examples:
      outlive state erase trip-7
      outlive state erase --subject c-1 --yes
    """
    named = ", ".join([*(ids or []), *([f"all of {subject}"] if subject else [])])
    if named and not yes and not typer.confirm(f"Erase {named} for good?", err=True):
        say("nothing was changed")
        raise typer.Exit(1)
    report = with_state(dsn, lambda state: state.conversations.erase(*(ids or []), subject=subject))
    if json:
        put_json({"rows": dict(report.rows)})
    else:
        put("\n".join(f"{rows:8} {table}" for table, rows in report.rows.items()) or "There was nothing to erase.")


@app.command()
def retention(
    older_than: Annotated[str, typer.Option(help="How long nothing changed in them: 90d, 12h.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and leave them.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="How many at a time.")] = 200,
    dsn: Dsn = None,
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
    done = with_state(
        dsn,
        lambda state: state.conversations.retention(
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


def age_of(text: str) -> timedelta:
    """A time as 90d, 12h, 30m or 10s.

    Raises:
        ConfigurationError: it is none of these.
    """
    from outlive.errors import ConfigurationError

    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in units and int(number) <= 1_000_000):
        raise ConfigurationError(f"{text!r} is no length of time", hint="Write 90d, 12h, 30m or 10s.")
    return timedelta(**{units[unit]: int(number)})


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - age_of(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _put_page(page: Page, *, json: bool) -> None:
    from outlive.cli import state_view

    if json:
        put_json({"conversations": [_as_json(each) for each in page.conversations], "next": page.next})
        return
    put(state_view.page_as_text(page))


def _as_json(summary: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(summary).items()
    }
