"""The demo's result, for a person and for a program."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlive.demo.environment import Fault, Injection
from outlive.demo.mishap import Mishap
from outlive.history import Verdict

MAX_ANOMALIES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What happened, and whether every promise held.

    `fault` is what was asked for, `injection` what was done: none if the work was over too soon. `write_outage_s` is
    the longest time between two acknowledged writes of the prober that follow each other, from the fault on (from the
    start, without a fault).
    """

    verdict: Verdict
    write_outage_s: float
    fault: Fault
    injection: Injection | None
    worker_killed: str | None
    work_s: float
    mishap: Mishap | None = None

    @property
    def ok(self) -> bool:
        """Whether every promise held, and the fault that was asked for came in time to try them."""
        return self.verdict.ok and not self._spared and (self.mishap is None or self.mishap.verified)

    @property
    def _spared(self) -> bool:
        return self.fault is not Fault.NONE and self.injection is None

    def to_json(self) -> dict[str, Any]:
        """The figures that a program reads."""
        verdict = self.verdict
        return {
            "acknowledged": verdict.acknowledged,
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "tool_calls_repeated": verdict.tool_calls_repeated,
            "write_outage_s": round(self.write_outage_s, 3),
            "conversations": verdict.conversations,
            "conversations_complete": verdict.conversations_complete,
            "llm_cost_usd": float(round(verdict.llm_cost_usd, 6)),
            "llm_cost_lost_usd": float(round(verdict.llm_cost_lost_usd, 6)),
            **self._of_the_mishap(),
            "ok": self.ok,
        }

    def _of_the_mishap(self) -> dict[str, Any]:
        if self.mishap is None:
            return {}
        return {
            "store_behind_s": round(self.mishap.behind_s, 3),
            "restore_s": self.mishap.restore_s,
            "verified": self.mishap.verified,
        }

    def rows(self) -> list[tuple[str, str]]:
        """The table that a person reads."""
        verdict = self.verdict
        rows = [
            ("turns acknowledged", f"{verdict.acknowledged:,}"),
            ("lost", f"{verdict.lost}"),
            ("duplicated", f"{verdict.duplicated}"),
            ("tool calls repeated", f"{verdict.tool_calls_repeated} of {verdict.tool_calls:,} finished"),
            ("tool calls run again after an interruption", f"{verdict.tool_calls_rerun}"),
            ("write outage", f"{self.write_outage_s:.2f} s"),
            ("conversations complete", f"{verdict.conversations_complete} of {verdict.conversations}"),
            ("LLM dollars at stake", f"${verdict.llm_cost_usd:.4f}"),
            ("LLM dollars lost", f"${verdict.llm_cost_lost_usd:.4f}"),
        ]
        if self.mishap is not None:
            rows += [
                ("the store was behind the last write by", f"{self.mishap.behind_s:.2f} s"),
                ("restored to before a deletion, and checked, in", f"{self.mishap.restore_s:.1f} s"),
                ("the backup is", self.mishap.evidence.status),
            ]
        return rows

    def notes(self) -> list[str]:
        """What else is to be said: first what is wrong, then what the figures mean."""
        anomalies = self.verdict.anomalies
        notes = [str(anomaly) for anomaly in anomalies[:MAX_ANOMALIES_SHOWN]]
        notes += self.mishap.evidence.complaints if self.mishap is not None else ()
        if len(anomalies) > MAX_ANOMALIES_SHOWN:
            notes.append(f"and {len(anomalies) - MAX_ANOMALIES_SHOWN} anomalies more")
        if self._spared:
            notes.append(
                "The work was over before the fault could be injected; --repeat or --llm-latency make it longer."
            )
        notes.append("Write outage: the longest time between two acknowledged commits of a writer that never rests.")
        if self.verdict.llm_cost_lost_usd and not anomalies:
            notes.append("LLM dollars lost: paid for answers under way in a worker that was killed or lost its lease.")
        return notes

    def conclusion(self) -> str:
        """The result in one sentence."""
        if self.ok:
            return "Every promise held: nothing acknowledged was lost, doubled or paid twice."
        if self.mishap is not None and not self.mishap.verified:
            return "A promise was broken: what was acknowledged did not come back from the backup."
        if not self.verdict.anomalies:
            reason = "the fault never came" if self._spared else "no work was acknowledged"
            return f"Nothing is proved: {reason}."
        return f"A promise was broken: {len(self.verdict.anomalies)} anomalies."


def write_json(report: Report, path: Path) -> None:
    """Write the figures as a file that is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(report.to_json(), indent=2) + "\n", "utf-8")
    draft.replace(path)
