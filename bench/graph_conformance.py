"""LangGraph's conformance suite for checkpoint savers, unmodified, on ours and on LangGraph's own for PostgreSQL.

python bench/graph_conformance.py --docs
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.report import CapabilityReport

from graph_state import OURS, THEIRS, savers
from outlive.testing import LocalCluster

PAGE = Path(__file__).parents[1] / "docs/explanation/state.md"
MARKS = re.compile(r"(<!-- graph-conformance: .*? -->\n).*?(<!-- /graph-conformance -->)", re.DOTALL)


async def report(name: str, saver: BaseCheckpointSaver[Any]) -> CapabilityReport:
    """What the suite says of a saver."""

    @checkpointer_test(name=name)
    async def registered() -> AsyncIterator[BaseCheckpointSaver[Any]]:
        yield saver

    return await validate(registered)


def table(reports: dict[str, CapabilityReport]) -> str:
    """A line a capability: how many of its tests pass."""
    lines = [f"| capability | {' | '.join(reports)} |", f"|---{'|---' * len(reports)}|"]
    lines += [
        f"| `{capability}` | {' | '.join(_cell(each, capability) for each in reports.values())} |"
        for capability in reports[OURS].results
    ]
    names = ("langgraph-checkpoint-conformance", "langgraph", "langgraph-checkpoint-postgres")
    return "\n".join(lines) + f"\n\nWith {', '.join(f'{name} {version(name)}' for name in names)}.\n"


def _cell(found: CapabilityReport, capability: str) -> str:
    result = found.results[capability]
    if not result.detected:
        return "not there"
    return f"{result.tests_passed} of {result.tests_passed + result.tests_failed}"


async def _main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            dsn = await cluster.start(lambda line: print(line, file=sys.stderr))
            async with savers(dsn) as both:
                reports = {name: await report(name, both[name]) for name in (OURS, THEIRS)}
        finally:
            await cluster.stop()
    print(table(reports))
    if arguments.docs:
        PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}{table(reports)}{found[2]}", PAGE.read_text()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    asyncio.run(_main(parser.parse_args()))
