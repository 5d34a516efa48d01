"""`outlive state audit`: whether the audit log is whole, and how long it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlive.cli import state
from outlive.cli.ages import age_of
from outlive.cli.terminal import Json, call_or_exit, put, put_json
from outlive.errors import ConfigurationError

if TYPE_CHECKING:
    from outlive.stores import AuditHead, AuditReport

DEFECTS_FOUND = 1

app = typer.Typer(help="Verify the audit log, and remove its old entries.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Verify the audit log, and remove its old entries."""


@app.command()
def verify(
    dsn: state.Dsn = None,
    heads: Annotated[Path | None, typer.Option(help="Heads that `outlive state audit heads` printed before.")] = None,
    json: Json = False,
) -> None:
    """Walk the audit log, and name the first bad row of each stream.

    It ends with 1 if there is one. Without heads that were noted elsewhere it can't find that a stream was written
    anew, or cut, together with its head.

    \b
    Examples:
      outlive state audit verify
      outlive state audit verify --heads /mnt/elsewhere/heads.json
      outlive state audit verify --json --dsn postgresql://auditor@h1,h2,h3/agents
    """
    noted = call_or_exit(lambda: _noted(heads))
    report = state.with_state(dsn, lambda stores: stores.audit.verify(noted))
    if json:
        put_json(_as_json(report))
    else:
        put(_as_text(report))
    if report.defects:
        raise typer.Exit(DEFECTS_FOUND)


@app.command()
def heads(dsn: state.Dsn = None) -> None:
    """Print the last position and hash of each stream as JSON, to be kept where nobody of the database can write.

    \b
    Examples:
      outlive state audit heads > /mnt/elsewhere/heads.json
    """
    found = state.with_state(dsn, lambda stores: stores.audit.heads())
    put_json([
        {"tenant": head.tenant, "stream": head.stream, "position": head.position, "hash": head.hash.hex()}
        for head in found
    ])  # fmt: skip


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="How long entries are kept: 400d, 12h.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and leave them.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="How many at a time.")] = 1_000,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Remove old entries, from the beginning of each stream; the rest can still be verified.

    What is removed is verified just before; a damaged entry stays. It takes the role that migrated, or a member of
    outlive_owner. May be stopped and begun again.

    \b
    Examples:
      outlive state audit prune --older-than 400d --dry-run
      outlive state audit prune --older-than 400d
    """
    from dataclasses import asdict

    age = call_or_exit(lambda: age_of(older_than))
    done = state.with_state(dsn, lambda stores: stores.audit.prune(age, batch=batch, dry_run=dry_run))
    if json:
        put_json(asdict(done) | {"dry_run": dry_run})
    else:
        put(f"{done.entries} entries of {done.streams} streams {'would be removed' if dry_run else 'removed'}")


def _noted(path: Path | None) -> list[AuditHead]:
    """The heads of a file.

    Raises:
        ConfigurationError: it can't be read, or holds something else.
    """
    import json

    if path is None:
        return []
    try:
        return [_head(each) for each in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        hint = "It is what `outlive state audit heads` prints."
        raise ConfigurationError(f"{path} holds no heads of the audit log: {error!r}", hint=hint) from None


def _head(given: dict[str, Any]) -> AuditHead:
    from outlive.stores import AuditHead

    place = (str(given["tenant"]), str(given["stream"]), int(given["position"]))
    return AuditHead(*place, bytes.fromhex(given["hash"]))


def _as_json(report: AuditReport) -> dict[str, Any]:
    defects = [
        {
            "flaw": defect.flaw.value,
            "tenant": defect.tenant,
            "stream": defect.stream,
            "position": defect.position,
            "reason": defect.reason,
        }
        for defect in report.defects
    ]
    counts = {"streams": report.streams, "entries": report.entries, "erased": report.erased, "pruned": report.pruned}
    return {**counts, "defects": defects}


def _as_text(report: AuditReport) -> str:
    entries = "1 entry" if report.entries == 1 else f"{report.entries:,} entries"
    streams = "1 stream" if report.streams == 1 else f"{report.streams:,} streams"
    if not report.defects:
        gone = f" {report.erased:,} erased for a person." if report.erased else ""
        gone += f" {report.pruned:,} older ones were removed." if report.pruned else ""
        return f"{entries} in {streams} {'is' if report.entries == 1 else 'are'} whole.{gone}"
    return "\n".join(_lines(report))


def _lines(report: AuditReport) -> Iterable[str]:
    for defect in report.defects:
        tenant = f" of the tenant {defect.tenant}" if defect.tenant else ""
        yield f"row {defect.position} of the stream {defect.stream}{tenant} is {defect.flaw.value}: {defect.reason}"
