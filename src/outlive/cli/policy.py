"""`outlive policy`: the policy file, checked before anybody relies on it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.terminal import Json, call_or_exit, put, put_json

if TYPE_CHECKING:
    from outlive.policy.plan.conflicts import Finding

app = typer.Typer(
    help="The policy: when backups are made and proved, and how long they are kept.", no_args_is_help=True
)
DEFAULT_FILE = Path("outlive.yaml")
CONFLICT_EXIT = 2


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The policy file.")] = DEFAULT_FILE,
    json: Json = False,
) -> None:
    """Read a policy and say what it asks for and can't have.

    Exits with 2 if it can't be read or holds a conflict; a doubt alone is no failure.

    \b
    Examples:
      outlive policy check
      outlive policy check /etc/outlive/outlive.yaml --json
    """
    from outlive import policy
    from outlive.policy.plan.conflicts import Weight, findings

    found = findings(call_or_exit(lambda: policy.load(file)))
    conflicts = sum(finding.weight is Weight.CONFLICT for finding in found)
    if json:
        put_json({"file": str(file), "ok": not conflicts, "findings": [_row(finding) for finding in found]})
    else:
        for finding in found:
            put(f"{finding.weight.value}: {finding.where}: {finding.reason}\n  {finding.hint}")
        put(f"{file}: {_verdict(conflicts, len(found) - conflicts)}")
    if conflicts:
        raise typer.Exit(CONFLICT_EXIT)


@app.command()
def example() -> None:
    """Print a whole policy with its comments, to begin from.

    \b
    Examples:
      outlive policy example > outlive.yaml
    """
    put(files("outlive.policy").joinpath("example.yaml").read_text("utf-8").rstrip("\n"))


def _row(finding: Finding) -> dict[str, str]:
    return {
        "weight": finding.weight.value,
        "where": finding.where,
        "reason": finding.reason,
        "hint": finding.hint,
    }


def _verdict(conflicts: int, doubts: int) -> str:
    if not conflicts and not doubts:
        return "can be kept"
    return f"conflicts: {conflicts}, doubts: {doubts}"
