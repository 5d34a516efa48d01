"""How the archive of WAL is shown."""

from __future__ import annotations

from typing import Any

import msgspec

from outlive.backup.archiver_files import ArchiverState
from outlive.backup.plan.loss import Loss
from outlive.backup.wal_report import WalReport
from outlive.cli.wal_acts import Checked, Status


def status_text(found: Status) -> str:
    """For people."""
    lines = _report_lines(found.report) if found.report else [f"store                    {found.url}"]
    lines.append(f"loss of every node now   {_loss_text(found)}")
    for node, state in (found.archivers.states if found.archivers else {}).items():
        lines.append(f"archiver of {node:<13}{_archiver_text(state)}")
    return "\n".join([*lines, *(f"PROBLEM  {problem}" for problem in found.problems)])


def status_json(found: Status) -> dict[str, Any]:
    """For programs."""
    loss = found.loss
    return {
        **(_report_json(found.report) if found.report else {"storage": found.url}),
        "loss_seconds": round(loss.seconds, 3) if isinstance(loss, Loss) else None,
        "behind_bytes": loss.behind_bytes if isinstance(loss, Loss) else None,
        "archivers": {
            node: msgspec.to_builtins(state) if state else None
            for node, state in (found.archivers.states if found.archivers else {}).items()
        },
        "problems": list(found.problems),
        "ok": not found.problems,
    }


def check_text(found: Checked) -> str:
    """For people."""
    lines = _report_lines(found.report)
    lines += [f"MISSING  {gap} ({gap.segments} segments)" for gap in found.report.continuity.gaps]
    lines += [f"MISSING  {history}" for history in found.report.continuity.histories]
    lines += [f"strange  {key}" for key in found.report.continuity.strange]
    lines += [f"DAMAGED  {damage.key}: {damage.reason}" for damage in found.damages or ()]
    read = "" if found.damages is None else ", every object read"
    return "\n".join([*lines, f"sound{read}" if found.sound else "NOT SOUND"])


def check_json(found: Checked) -> dict[str, Any]:
    """For programs."""
    return {
        **_report_json(found.report),
        "damaged": None if found.damages is None else [[each.key, each.reason] for each in found.damages],
        "sound": found.sound,
    }


def _report_lines(report: WalReport) -> list[str]:
    window = report.window
    until = window.end.isoformat(timespec="milliseconds") if window and window.end else "unknown"
    begin = f"{window.begin.isoformat(timespec='seconds')} (backup {window.backup})" if window else ""
    return [
        f"store                    {report.url}",
        f"recoverable window       {f'{begin} to {until}' if window else 'none: no backup to begin with'}",
        f"WAL                      {report.segments} segments from {report.oldest.name if report.oldest else '-'}, "
        f"then {report.pieces - report.superseded} pieces, to {report.end} on timeline {report.timeline or '-'}",
    ]


def _report_json(report: WalReport) -> dict[str, Any]:
    window, proved, continuity = report.window, report.proved, report.continuity
    return {
        "storage": report.url,
        "window": window and {"backup": window.backup, "from": window.begin, "to": window.end},
        "timeline": report.timeline,
        "oldest_segment": report.oldest.name if report.oldest else None,
        "end": str(report.end),
        "proved_at": proved.at if proved else None,
        "segments": report.segments,
        "pieces": report.pieces,
        "superseded_pieces": report.superseded,
        "gaps": [{"first": gap.first.name, "last": gap.last.name, "segments": gap.segments} for gap in continuity.gaps],
        "missing_histories": [str(history) for history in continuity.histories],
        "strange": list(continuity.strange),
    }


def _loss_text(found: Status) -> str:
    loss = found.loss
    if not isinstance(loss, Loss):
        return loss.reason
    if loss.behind_bytes == 0:
        return "nothing: all of the primary's WAL is in the store"
    behind = "" if loss.behind_bytes is None else f", {loss.behind_bytes} bytes of WAL"
    return f"at most {loss.seconds:.2f} s of commits{behind}"


def _archiver_text(state: ArchiverState | None) -> str:
    if state is None:
        return "never ran"
    last = f"last {state.last_archived}" if state.last_archived else "nothing archived yet"
    return f"{state.role}, {last}, backlog {state.backlog}, {state.failures} failures in a row"
