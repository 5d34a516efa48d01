"""`outlive logs`: what the programs of the nodes wrote."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from outlive.cli.terminal import Dir, call_or_exit, chosen_directory, put
from outlive.cluster.directory import ClusterDirectory
from outlive.errors import ConfigurationError

COMPONENTS = ("supervisor", "etcd", "patroni", "postgres", "journal")
FOLLOW_PERIOD_S = 0.3


def logs(
    node: Annotated[str | None, typer.Argument(help="One node; without it all.")] = None,
    directory: Dir = None,
    component: Annotated[list[str] | None, typer.Option(help=f"{', '.join(COMPONENTS)}; may be repeated.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="Lines of each file.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
) -> None:
    """Show the last lines of the nodes' logs, and of the journal of the supervisors' acts.

    \b
    Examples:
      outlive logs
      outlive logs n1 --component postgres -n 100
      outlive logs --component journal --follow
    """
    files = call_or_exit(lambda: _log_files(ClusterDirectory(chosen_directory(directory)), node, component))
    shown = {path: path.stat().st_size for _, path in files}
    for title, path in files:
        put(f"==> {title} <==")
        put("\n".join(_text(path, 0, shown[path]).splitlines()[-lines:]) + "\n")
    if follow:
        call_or_exit(lambda: _follow(files, shown))


def _log_files(directory: ClusterDirectory, name: str | None, components: list[str] | None) -> list[tuple[str, Path]]:
    spec, _ = directory.load()
    for component in components or ():
        if component not in COMPONENTS:
            raise ConfigurationError(f"there is no log {component!r}", hint=f"There are {', '.join(COMPONENTS)}.")
    if name is not None and name not in {node.name for node in spec.nodes}:
        raise ConfigurationError(f"the cluster has no node {name!r}")
    found = []
    for node, files in directory.nodes(spec):
        for component in components or COMPONENTS:
            path = files.journal if component == "journal" else files.log(component)
            if name in (None, node.name) and path.exists():
                found.append((f"{node.name} {component}", path))
    return found


def _follow(files: list[tuple[str, Path]], shown: dict[Path, int]) -> None:
    """Print what comes after the first `shown` bytes of each file; one that was emptied is read from its start."""
    while True:  # until Ctrl-C
        for title, path in files:
            size = path.stat().st_size
            if size != shown[path]:
                for line in _text(path, shown[path] if size > shown[path] else 0, size).splitlines():
                    put(f"{title} | {line}")
                shown[path] = size
        time.sleep(FOLLOW_PERIOD_S)


def _text(path: Path, start: int, end: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start).decode(errors="replace")
