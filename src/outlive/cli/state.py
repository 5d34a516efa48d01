"""`outlive state`: what agents keep, from the shell.

Each command imports what it needs when it runs, as those around a cluster do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from outlive.cli.terminal import Json, await_or_exit, call_or_exit, put, put_json

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
