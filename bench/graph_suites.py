"""LangGraph's own tests of graphs and agents, unmodified, over our saver and store on three nodes.

They are not in its wheels: give it a checkout of LangGraph's repository, and what its tests need besides.

git clone https://github.com/langchain-ai/langgraph
pip install langgraph-checkpoint-sqlite pytest-mock syrupy redis
python bench/graph_suites.py langgraph --docs
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import outlive
from graph_suites_plugin import DSN_VARIABLE, TEMPLATE, dsn_of
from outlive.cluster.plan.patroni_config import SUPERUSER
from outlive.stores import migrate
from outlive.testing import LocalCluster

PAGE = Path(__file__).parents[1] / "docs/explanation/state.md"
MARKS = re.compile(r"(<!-- graph-suites: .*? -->\n).*?(<!-- /graph-suites -->)", re.DOTALL)
SUITES = {"langgraph": "graphs", "prebuilt": "prebuilt agents"}
"""The folders under `libs`, and what their tests are about."""
NEEDED = ("langgraph-checkpoint-sqlite", "pytest-mock", "pytest-xdist", "redis", "syrupy")
"""What their `conftest` and our command line need, whichever tests are chosen."""
MAX_RUN_S = 3600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the tests of one suite that take a saver or a store."""

    tests: int
    failed: tuple[str, ...]
    skipped: int

    @property
    def passed(self) -> int:
        """How many passed."""
        return self.tests - len(self.failed) - self.skipped


def versions(checkout: Path) -> str:
    """Which tests these are: the packages of the suites, with their versions.

    Ends the program, before a cluster is started for nothing, where it is no checkout or a package is missing.
    """
    if absent := [name for name in NEEDED if not any(distributions(name=name))]:
        sys.exit(f"LangGraph's tests need what is not installed here: pip install {' '.join(absent)}")
    try:
        texts = [(checkout / "libs" / suite / "pyproject.toml").read_text() for suite in SUITES]
    except OSError as error:
        sys.exit(f"{checkout} is no checkout of LangGraph's repository: {error}")
    projects = [tomllib.loads(text)["project"] for text in texts]
    return " and ".join(f"{project['name']} {project['version']}" for project in projects)


def run(checkout: Path, suite: str, report: Path) -> Outcome:
    """Run one suite in its own folder, as LangGraph does, with our plugin."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "LANGGRAPH_TEST_FAST": "false"}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "tests", "-p", "graph_suites_plugin"]
    command += ["-p", "no:cacheprovider", "-n", "2", f"--junitxml={report}"]
    subprocess.run(
        command, cwd=checkout / "libs" / suite, env=environment, check=False, timeout=MAX_RUN_S, stdout=sys.stderr
    )
    if not report.exists():
        sys.exit(f"pytest could not begin with {checkout / 'libs' / suite}: what it lacks stands above")
    return outcome(ElementTree.parse(report))  # noqa: S314 - written by the pytest that was just run


def outcome(report: ElementTree.ElementTree[Any]) -> Outcome:
    """The outcome that a report of pytest's tells."""
    failed: set[str] = set()
    names: set[str] = set()
    skipped = 0
    for case in report.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        names.add(name)
        skipped += case.find("skipped") is not None
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
    return Outcome(len(names), tuple(sorted(failed)), skipped)


def table(outcomes: dict[str, Outcome], tests: str) -> str:
    """A line a suite, and which tests they were."""
    lines = ["| LangGraph's tests of | that take a saver or a store | pass | failed |", "|---|---|---|---|"]
    lines += [
        f"| {SUITES[suite]} (`libs/{suite}/tests`) | {each.tests} | {each.passed} | {len(each.failed)} |"
        for suite, each in outcomes.items()
    ]
    return "\n".join(lines) + f"\n\nWith the tests of {tests}.\n"


async def _prepare(cluster: LocalCluster) -> None:
    parts = urlsplit(await cluster.start(lambda line: print(line, file=sys.stderr)))
    _, secrets = cluster.directory.load()
    login = f"{SUPERUSER}:{quote(secrets.superuser)}"
    dsn = parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}", path="/postgres").geturl()
    os.environ[DSN_VARIABLE] = dsn
    async with outlive.connect(dsn) as db, db.connection() as connection:
        await connection.execute(f"create database {TEMPLATE}")
    await migrate(dsn_of(TEMPLATE))


async def _main(arguments: argparse.Namespace) -> int:
    tests = versions(arguments.checkout)
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            await _prepare(cluster)
            outcomes = {
                suite: await asyncio.to_thread(run, arguments.checkout, suite, Path(scratch) / f"{suite}.xml")
                for suite in SUITES
            }
        finally:
            await cluster.stop()
    print(table(outcomes, tests), *(name for each in outcomes.values() for name in each.failed), sep="\n")
    if arguments.docs:
        PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}{table(outcomes, tests)}{found[2]}", PAGE.read_text()))
    return int(any(each.failed or not each.tests for each in outcomes.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of LangGraph's repository")
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    sys.exit(asyncio.run(_main(parser.parse_args())))
