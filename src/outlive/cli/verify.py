"""`outlive backup verify` and `outlive backup point`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.storage_options import DsnOption, KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, chosen_directory, put, put_json, say
from outlive.errors import ConfigurationError, RestoreTestFailedError

if TYPE_CHECKING:
    from outlive.backup.proving.evidence import Evidence
    from outlive.backup.proving.examination import Ledger

RANDOM = "random"
SECONDS = 60


def verify(
    backup: Annotated[str, typer.Argument(help="The backup; latest is the newest one.")] = "latest",
    at: Annotated[str, typer.Option(help="A moment with its offset from UTC; random chooses one.")] = RANDOM,
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
    from outlive.cli.storage import place

    home = chosen_directory(directory)
    where = call_or_exit(lambda: place(storage, storage_options, key_file, home, policy))
    longest_s = max_minutes * SECONDS if max_minutes is not None else call_or_exit(lambda: limit_s(policy))

    async def work() -> Evidence:
        from outlive.backup.observation import observe
        from outlive.backup.proving import restore_test
        from outlive.cli.restore_view import Teller

        moment, known = _moment(at), _ledger(ledger, ledger_query, ledger_database)
        async with where.opened() as store:
            catalog, material = await observe(store, where.keyring)
            trial = restore_test.Trial(
                backup=catalog.find(backup), at=moment, limit_s=longest_s, ledger=known, scratch=scratch,
                postgres_bin=postgres_bin,
            )  # fmt: skip
            return await restore_test.run(material, trial, Teller())

    from outlive.cli.backup_acts import interruptible

    evidence = await_or_exit(interruptible(work()))
    _tell(evidence, json=json)


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
    from outlive.backup import points
    from outlive.backup.catalog import Point
    from outlive.cli.storage import access, place

    home = chosen_directory(directory)
    where = call_or_exit(lambda: place(storage, storage_options, key_file, home, policy))
    reach = call_or_exit(lambda: access(dsn, home))

    async def work() -> Point:
        async with where.opened() as store:
            return await points.make(store, reach, name)

    made = await_or_exit(work())
    if json:
        put_json({"name": made.name, "lsn": made.lsn, "timeline": made.timeline, "made_at": made.made_at})
        return
    put(f"{made.name} is {made.lsn} on timeline {made.timeline}")


def limit_s(policy: Path | None) -> float | None:
    """The seconds that a restore may take: the shorter of what the policy allows a test, and of its objective.

    Raises:
        ConfigurationError: it can't be read.
    """
    from outlive.policy.load import load

    if policy is None:
        return None
    said = load(policy).backup_policy
    testing, objective = said.restore_testing, said.objectives.rto_minutes
    minutes = [each for each in (testing.max_restore_time_minutes if testing else None, objective) if each is not None]
    return min(minutes) * SECONDS if minutes else None


def _moment(text: str) -> datetime | None:
    from outlive.backup.plan.targets import Refusal, parse_time
    from outlive.backup.restoring.restore import refusal

    if text == RANDOM:
        return None
    target = parse_time(text)
    if isinstance(target, Refusal):
        raise refusal(target)
    return target.at


def _ledger(file: Path | None, query: str | None, database: str) -> Ledger | None:
    from outlive.backup.proving.ledger_file import read

    if file is None and query is None:
        return None
    if file is None or query is None:
        raise ConfigurationError("--ledger and --ledger-query belong together")
    return read(file, query, database)


def _tell(evidence: Evidence, *, json: bool) -> None:
    import msgspec

    from outlive.backup.proving.evidence import VERIFIED

    verified = evidence.status == VERIFIED
    if json:
        put_json({**msgspec.to_builtins(evidence), "verified": verified})
    else:
        seconds = ", ".join(f"{name} {value:.1f}" for name, value in evidence.seconds.items() if name != "total")
        put(
            f"{evidence.status}: {evidence.backup} recovered to {evidence.recovered_to} ({evidence.target}) in "
            f"{evidence.seconds['total']:.1f} s ({seconds}); {evidence.rows:,} rows in {evidence.tables} tables, "
            f"{len(evidence.checks)} checks"
        )
    if not verified:
        for complaint in evidence.complaints:
            say(f"outlive: {complaint}")
        say(f"  {RestoreTestFailedError.hint}")
        raise typer.Exit(RestoreTestFailedError.exit_code)
