"""`outlive state`: what agents keep, from the shell.

Each command imports what it needs when it runs, as those around a cluster do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from outlive.cli.ages import when
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


# An empty list, or an audit log without a flaw, says nothing where nothing can be seen.
_NAME_ONE = "outlive: tenants are kept apart here, and no row is seen without one: outlive state --tenant NAME ..."
_ACTS_FOR: ContextVar[str | None] = ContextVar("outlive_tenant", default=None)


@app.callback()
def _group(
    tenant: Annotated[
        str | None, typer.Option(envvar="OUTLIVE_TENANT", help="Whom to act for, where tenants are kept apart.")
    ] = None,
) -> None:
    """Show, export, import and erase what agents keep.

    \b
    Examples:
      outlive state list
      outlive state --tenant acme list
    """
    _ACTS_FOR.set(tenant)


def with_state(dsn: str | None, work: Callable[[AgentState], Awaitable[T]]) -> T:
    """Do `work` with the stores of a database, or end the command with the error's exit code."""
    import outlive
    from outlive.stores import AgentState, tenants

    async def connected() -> T:
        async with outlive.connect(dsn) as db:
            tenant = _ACTS_FOR.get()
            if tenant is None and await tenants.must_be_named(db):
                say(_NAME_ONE)
            return await work(AgentState(db if tenant is None else db.as_tenant(tenant)))

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
    changed_since = call_or_exit(lambda: when(since))
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
    changed_since = call_or_exit(lambda: when(since))
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
    file: Annotated[Path, typer.Argument(help="What `export` wrote, or chats in the OpenAI format; - is stdin.")],
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Keep the conversations of a file: each whole, or not at all.

    What is there with the same content is left as it is, so a file may be imported again. A damaged line ends the
    import; what was whole before it is kept.

    \b
    Examples:
      outlive state import conversations.jsonl
      outlive state import - < conversations.jsonl
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


def _put_page(page: Page, *, json: bool) -> None:
    from outlive.cli import state_view

    if json:
        put_json(state_view.page_as_json(page))
    else:
        put(state_view.page_as_text(page))
