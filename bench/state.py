"""`make bench-state`: agents' state here beside where it is usually kept, on one real cluster, in one run.

python bench/state.py --subject graph --json state.json --docs

Each subject measures itself against its peer by turns, on the same server with the same `synchronous_commit`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import audit_state
import conversation_state
import graph_state
import scale_state
from outlive.testing import LocalCluster
from reports import Report, draw, show, table

DOCS = Path(__file__).parents[1] / "docs/explanation"
PAGE = DOCS / "state.md"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured: to how many messages our own thread grows on, if it does."""

    messages: int = 0


SUBJECTS: dict[str, Callable[[str, Options], Awaitable[Report]]] = {
    "graph": graph_state.measure,
    "conversations": conversation_state.measure,
    "audit": audit_state.measure,
}
"""By name: each is given the cluster's DSN."""


def _document(name: str, report: Report) -> None:
    marks = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    PAGE.write_text(marks.sub(lambda found: f"{found[1]}{table(report)}{found[2]}", PAGE.read_text()))
    if report.panels:
        draw(report.panels, DOCS / f"state-{name}.svg")


async def _main(arguments: argparse.Namespace) -> None:
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            dsn = await cluster.start(lambda line: print(line, file=sys.stderr))
            for name in arguments.subject:
                reports[name] = await SUBJECTS[name](dsn, Options(arguments.messages))
                print(show(reports[name]))
            if arguments.scale:
                reports["scale"] = await scale_state.measure(cluster, dsn, arguments.scale)
                print(show(reports["scale"]))
        finally:
            await cluster.stop()
    if arguments.json:
        arguments.json.write_text(json.dumps({name: asdict(each) for name, each in reports.items()}, indent=2) + "\n")
    if arguments.docs:
        for name, report in reports.items():
            _document(name, report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", nargs="*", choices=SUBJECTS, default=list(SUBJECTS), help="what to measure")
    parser.add_argument("--messages", type=int, default=0, help="grow our own thread of the graph on to so many")
    parser.add_argument(
        "--scale",
        type=int,
        nargs="?",
        const=MILLION,
        help="so many conversations beside a thousand, a million if not said",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--docs", action="store_true", help="write tables and pictures into the documentation")
    asyncio.run(_main(parser.parse_args()))
