"""Draws ratios as bars, one group an operation and number of tasks."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "outlive"  # the same figures make the same file
import matplotlib.pyplot as plt  # noqa: E402

from slices import Figure  # noqa: E402


def draw(results: dict[str, dict[int, dict[str, Figure]]], reference: str, path: Path) -> None:
    """Write the picture: a panel an operation, a bar a contestant with its middle half, a line at 1.00."""
    panels, axes = plt.subplots(1, len(results), figsize=(4 * len(results), 3.6), sharey=False, squeeze=False)
    for axis, (operation, by_tasks) in zip(axes[0], results.items(), strict=True):
        names = [name for name in next(iter(by_tasks.values())) if name != reference]
        width = 0.8 / len(names)
        for place, name in enumerate(names):
            figures = [figures[name] for figures in by_tasks.values()]
            heights = [figure.ratio for figure in figures]
            spread = [[f.ratio - f.low for f in figures], [f.high - f.ratio for f in figures]]
            at = [group + place * width for group in range(len(by_tasks))]
            axis.bar(at, heights, width, yerr=spread, label=name, error_kw={"linewidth": 0.8})
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_title(operation)
        axis.set_xticks([group + 0.4 - width / 2 for group in range(len(by_tasks))], [f"{n} tasks" for n in by_tasks])
    axes[0][0].set_ylabel(f"ratio to the {reference}")
    axes[0][0].legend(fontsize="small")
    panels.tight_layout()
    panels.savefig(path, metadata={"Date": None})
    plt.close(panels)
