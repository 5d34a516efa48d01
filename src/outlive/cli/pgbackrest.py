"""`outlive pgbackrest`: the backups of those who keep them with pgBackRest, and the restore test over them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlive.cli.terminal import Json, await_or_exit, call_or_exit, put, put_json, say

if TYPE_CHECKING:
    from outlive.backup.engine import EngineBackup
    from outlive.backup.pgbackrest import PgBackRest
    from outlive.backup.plan.targets import Target
    from outlive.backup.proving.engine_test import EngineVerdict

app = typer.Typer(help="Backups that pgBackRest keeps: take, list, restore and prove them.", no_args_is_help=True)
MIB = 1024 * 1024

Stanza = Annotated[str, typer.Option(help="pgBackRest's name for the cluster.")]
Config = Annotated[Path, typer.Option(help="pgBackRest's configuration.")]
Bin = Annotated[Path | None, typer.Option("--postgres-bin", help="The directory of PostgreSQL's programs.")]
ToTime = Annotated[
    str | None, typer.Option(help="A moment with its offset from UTC.", show_default="as far as the archive goes")
]
DEFAULT_CONFIG = Path("/etc/pgbackrest.conf")


@app.command()
def create(
    stanza: Stanza,
    incremental: Annotated[bool, typer.Option("--incremental", help="Only what changed since the last one.")] = False,
    config: Config = DEFAULT_CONFIG,
    postgres_bin: Bin = None,
    json: Json = False,
) -> None:
    """Take a backup with pgBackRest.

    \b
    Example:
      outlive pgbackrest create --stanza agents --incremental
    """
    from outlive.backup.engine import Kind

    kind = Kind.INCREMENTAL if incremental else Kind.FULL
    made = await_or_exit(_engine(stanza, config, postgres_bin).create(kind, lambda line: say(f"outlive: {line}")))
    put_json(_row(made)) if json else put(_line(made))


@app.command(name="list")
def list_(stanza: Stanza, config: Config = DEFAULT_CONFIG, postgres_bin: Bin = None, json: Json = False) -> None:
    """List the sound backups of a stanza, the oldest first.

    \b
    Example:
      outlive pgbackrest list --stanza agents
    """
    found = await_or_exit(_engine(stanza, config, postgres_bin).backups())
    if json:
        put_json([_row(backup) for backup in found])
        return
    for backup in found:
        put(_line(backup))
    if not found:
        put(f"There is no backup of {stanza}.")


@app.command()
def restore(
    stanza: Stanza,
    into: Annotated[Path, typer.Option(help="An empty directory, or one that is not there yet.")],
    backup: Annotated[
        str | None, typer.Option(help="Which one.", show_default="the newest that allows the moment")
    ] = None,
    to_time: ToTime = None,
    config: Config = DEFAULT_CONFIG,
    postgres_bin: Bin = None,
    json: Json = False,
) -> None:
    """Put a backup back as a data directory. A server that is started on it recovers by itself, and archives nothing.

    \b
    Example:
      outlive pgbackrest restore --stanza agents --into /srv/restored --to-time 2026-11-24T22:50:00Z
    """
    engine = _engine(stanza, config, postgres_bin)
    target = call_or_exit(lambda: _target(to_time))
    put_back = await_or_exit(engine.restore(backup, target, into.absolute()))
    if json:
        put_json({"into": str(into.absolute()), "backup": _row(put_back)})
        return
    put(f"{put_back.id} is in {into}. Start a server of PostgreSQL {put_back.postgres_version} on it.")


@app.command()
def verify(
    stanza: Stanza,
    backup: Annotated[
        str | None, typer.Option(help="Which one.", show_default="the newest that allows the moment")
    ] = None,
    to_time: ToTime = None,
    scratch: Annotated[Path | None, typer.Option(help="Where to restore to.", show_default="$TMPDIR")] = None,
    config: Config = DEFAULT_CONFIG,
    postgres_bin: Bin = None,
    json: Json = False,
) -> None:
    """Restore a backup on a server of its own, and see whether pages, indexes, references and rules are right.

    Exits with 9 if they are not.

    \b
    Example:
      outlive pgbackrest verify --stanza agents --postgres-bin /usr/lib/postgresql/15/bin
    """
    from outlive.backup.proving import engine_test
    from outlive.backup.restoring.material import Tools
    from outlive.errors import RestoreTestFailedError
    from outlive.postgres import programs

    engine = _engine(stanza, config, postgres_bin)
    found = call_or_exit(lambda: programs.directory(postgres_bin))
    tools = Tools(programs=found, major=call_or_exit(lambda: programs.major_version(found)), scratch=True)
    trial = engine_test.EngineTrial(call_or_exit(lambda: _target(to_time)), tools, backup=backup, scratch=scratch)
    verdict = await_or_exit(engine_test.run(engine, trial))
    put_json(_verdict(verdict)) if json else put(_sentence(verdict))
    if not verdict.verified:
        for complaint in verdict.findings.complaints:
            say(f"outlive: {complaint}")
        raise typer.Exit(RestoreTestFailedError.exit_code)


def _engine(stanza: str, config: Path, postgres_bin: Path | None) -> PgBackRest:
    from outlive.backup.pgbackrest import PgBackRest
    from outlive.postgres import identity, programs

    def made() -> PgBackRest:
        # Of a directory that isn't there yet nobody is the owner: the account is the one that a new one would have.
        new = Path(tempfile.gettempdir()) / f"outlive-pgbackrest-{os.getpid()}"
        who = identity.decide(new, str(programs.directory(postgres_bin)))
        engine = PgBackRest(stanza, config, run_as=who)
        engine.check()
        return engine

    return call_or_exit(made)


def _target(to_time: str | None) -> Target:
    from outlive.backup.plan.targets import Latest, parse_time
    from outlive.backup.restoring.restore import granted

    return Latest() if to_time is None else granted(parse_time(to_time))


def _line(backup: EngineBackup) -> str:
    sizes = f"{backup.raw_bytes / MIB:,.1f} MiB, {backup.stored_bytes / MIB:,.1f} stored"
    return f"{backup.id}  {backup.kind.value:11}  {backup.finished_at:%Y-%m-%d %H:%M:%S}Z  {sizes}"


def _row(backup: EngineBackup) -> dict[str, Any]:
    return {
        "id": backup.id,
        "type": backup.kind.value,
        "parent": backup.parent,
        "started_at": backup.started_at.isoformat(),
        "finished_at": backup.finished_at.isoformat(),
        "start_lsn": str(backup.start),
        "end_lsn": str(backup.end),
        "raw_bytes": backup.raw_bytes,
        "stored_bytes": backup.stored_bytes,
        "postgres_version": backup.postgres_version,
        "system_identifier": backup.system_identifier,
    }


def _verdict(verdict: EngineVerdict) -> dict[str, Any]:
    phases, findings = verdict.phases, verdict.findings
    seconds = {"fetch": phases.fetch_s, "replay": phases.replay_s, "check": phases.check_s, "total": phases.total_s}
    return {
        "verified": verdict.verified,
        "backup": verdict.backup.id if verdict.backup else None,
        "seconds": seconds,
        "tables": findings.tables,
        "rows": findings.rows,
        "checks": findings.checks,
        "complaints": findings.complaints,
    }


def _sentence(verdict: EngineVerdict) -> str:
    status, backup = ("verified" if verdict.verified else "failed"), verdict.backup.id if verdict.backup else "none"
    return (
        f"{status}: {backup} in {verdict.phases.total_s:.1f} s; {verdict.findings.rows:,} rows in"
        f" {verdict.findings.tables} tables, {len(verdict.findings.checks)} checks"
    )
