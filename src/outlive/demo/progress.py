"""What a person sees while the demo runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outlive.demo.report import Report
from outlive.system import monotonic

PLAIN_PERIOD_S = 2.0
BAR_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is."""

    acknowledged: int
    turns: int
    complete: int
    conversations: int
    workers: int
    dollars: float
    silence_s: float

    def __str__(self) -> str:
        silence = f", no write acknowledged for {self.silence_s:.1f} s" if self.silence_s >= 1 else ""
        return (
            f"{self.acknowledged:,} of {self.turns:,} turns acknowledged, {self.complete} of {self.conversations}"
            f" conversations complete, {self.workers} workers alive, ${self.dollars:.2f} paid to the LLM{silence}"
        )


class Narrator(Protocol):
    """Who tells a person what goes on."""

    def say(self, line: str) -> None:
        """Something happened."""
        ...

    def show(self, progress: Progress) -> None:
        """This is how far the work is; called often."""
        ...


class PlainNarrator:
    """Lines, for a file or a pipe: every event, and the progress now and then."""

    def __init__(self) -> None:
        self._started_at = monotonic()
        self._shown_at = self._started_at

    def say(self, line: str) -> None:
        """See `Narrator`."""
        sys.stderr.write(f"{monotonic() - self._started_at:5.1f} s  {line}\n")
        sys.stderr.flush()

    def show(self, progress: Progress) -> None:
        """See `Narrator`."""
        if monotonic() - self._shown_at >= PLAIN_PERIOD_S:
            self._shown_at = monotonic()
            self.say(str(progress))


class LiveNarrator:
    """A line that renews itself under the events, for a terminal."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._started_at = monotonic()

    def say(self, line: str) -> None:
        """See `Narrator`."""
        took = f"{monotonic() - self._started_at:5.1f} s  "
        self._live.console.print(Text.assemble((took, "dim"), line))

    def show(self, progress: Progress) -> None:
        """See `Narrator`."""
        self._live.update(_panel(progress))


@contextmanager
def narrator() -> Iterator[Narrator]:
    """Whoever fits the stream: live in a terminal, plain lines elsewhere. All of it goes to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainNarrator()
        return
    with Live(console=console, refresh_per_second=10, transient=True) as live:
        yield LiveNarrator(live)


def print_report(report: Report, *, to_stderr: bool) -> None:
    """Print the table, and what is to be said about it."""
    console = Console(stderr=to_stderr)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in report.rows():
        table.add_row(name, value)
    console.print(table)
    for note in report.notes():
        console.print(note, markup=False, highlight=False)
    console.print(report.conclusion(), style="bold green" if report.ok else "bold red")


def _panel(progress: Progress) -> Text:
    share = progress.acknowledged / progress.turns if progress.turns else 0.0
    filled = int(share * BAR_WIDTH)
    return Text.assemble(
        ("━" * filled, "green"), ("━" * (BAR_WIDTH - filled), "dim"), f" {share:4.0%}\n", str(progress)
    )
