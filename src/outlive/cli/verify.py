"""`outlive backup verify` and `outlive backup point`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outlive.cli.storage_options import DsnOption, KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, put, put_json, say
from outlive.errors import RestoreTestFailedError


def verify(
    backup: Annotated[str, typer.Argument(help="The backup; latest is the newest one.")] = "latest",
    at: Annotated[str, typer.Option(help="A moment with its offset from UTC; random chooses one.")] = "random",
    max_minutes: Annotated[
        float | None, typer.Option(help="It fails if it takes longer.", show_default="the policy's", min=0.0)
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help='JSON lines: {"id": "..", "began_at": "..", "acknowledged_at": ".."}.')
    ] = None,
    ledger_query: Annotated[str | None, typer.Option(help="Returns the ids that the database holds.")] = None,
    ledger_database: Annotated[str, typer.Option(help="Where the query is run.")] = "agents",
    scratch: Annotated[Path | None, typer.Option(help="Where to restore to.", show_default="$TMPDIR")] = None,
    postgres_bin: Annotated[Path | None, typer.Option(help="The directory of PostgreSQL's programs.")] = None,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Restore a backup on a server of its own, to an instant of its window, and see whether all is there.

    Nothing of the cluster or its archive is touched. What came of it is kept in the store, beside the backup. Exits
    with 9 if the backup is not what it should be, or took too long.

    \b
    Examples:
      outlive backup verify
      outlive backup verify 20261124T020000Z-full --at 2026-11-24T12:00:00Z
      outlive backup verify --ledger acknowledged.jsonl --ledger-query "select id from orders"
    """
    from outlive.cli import verify_acts as acts
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    wish = call_or_exit(
        lambda: acts.Wish(
            backup=backup,
            at=acts.moment(at),
            limit_s=acts.limit_s(policy, max_minutes),
            ledger=acts.ledger(ledger, ledger_query, ledger_database),
            scratch=scratch,
            postgres_bin=postgres_bin,
        )
    )
    evidence = await_or_exit(acts.verify(where, wish))
    put_json(acts.evidence_json(evidence)) if json else put(acts.evidence_text(evidence))
    if not acts.verified(evidence):
        for complaint in evidence.complaints:
            say(f"outlive: {complaint}")
        say(f"  {RestoreTestFailedError.hint}")
        raise typer.Exit(RestoreTestFailedError.exit_code)


def point(
    name: Annotated[str, typer.Argument(help="What to call this moment.")],
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    dsn: DsnOption = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Give this moment a name, which `outlive restore --to-name` finds again.

    \b
    Example:
      outlive backup point before-migration
    """
    from outlive.cli import verify_acts as acts
    from outlive.cli.storage import access_or_exit, place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    made = await_or_exit(acts.point(where, access_or_exit(dsn, directory), name))
    if json:
        put_json({"name": made.name, "lsn": made.lsn, "timeline": made.timeline, "made_at": made.made_at})
        return
    put(f"{made.name} is {made.lsn} on timeline {made.timeline}")
