"""What a subject of `make bench-state` reports: rows of a table with what was to be reached, and curves to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "outlive"  # the same figures make the same file
import matplotlib.pyplot as plt  # noqa: E402


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside another one: texts with their units, their ratio with its middle half, and the target."""

    what: str
    ours: str
    theirs: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    target: str = ""
    reached: bool | None = None
    """None where nothing was to be reached."""

    @property
    def verdict(self) -> str:
        """Whether it was reached, in a word."""
        return {True: "yes", False: "no", None: ""}[self.reached]

    @property
    def spread(self) -> str:
        """The ratio, and the middle half of what it was over the run."""
        if self.ratio is None:
            return ""
        return f"{self.ratio:.2f}" if self.low is None else f"{self.ratio:.2f} ({self.low:.2f} - {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of curves, by their names: places and heights."""

    title: str
    across: str
    up: str
    curves: dict[str, list[tuple[float, float]]]
    logarithmic: bool = False


@dataclass(slots=True)
class Report:
    """What one subject found."""

    subject: str
    against: str
    rows: list[Row] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    ours: str = "Outlive"


def show(report: Report) -> str:
    """A table a person reads."""
    lines = [f"{report.subject}: {report.ours} against {report.against}"]
    lines += [
        f"  {row.what:62} {row.ours:>12} {row.theirs:>12}  {row.spread:22} {row.target:8} {row.verdict}"
        for row in report.rows
    ]
    return "\n".join(lines)


def table(report: Report) -> str:
    """The same for a page."""
    lines = [f"| | {report.ours} | {report.against} | ratio | to reach | reached |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.what} | {row.ours} | {row.theirs} | {row.spread} | {row.target} | {row.verdict} |"
        for row in report.rows
    ]
    return "\n".join(lines) + "\n"


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write the pictures side by side."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.4), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, points in panel.curves.items():
            axis.plot(*zip(*points, strict=True), label=name)
        axis.set(title=panel.title, xlabel=panel.across, ylabel=panel.up)
        if panel.logarithmic:
            axis.set_yscale("log")
        axis.legend(fontsize="small")
        axis.grid(linewidth=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
