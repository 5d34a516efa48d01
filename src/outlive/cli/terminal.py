"""How the command speaks: results on stdout, everything else on stderr, errors as one sentence with the way out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from outlive.client.dsn import default_directory
from outlive.errors import OutliveError

T = TypeVar("T")
INTERRUPTED = 130

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="The cluster's directory.", show_default="$OUTLIVE_DIR or ~/.local/state/outlive/local"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def chosen_directory(directory: Path | None) -> Path:
    """The directory asked for, else the default one."""
    return (directory or default_directory()).expanduser().absolute()


def say(line: str) -> None:
    """Tell the person what goes on."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def put_json(value: Any) -> None:
    """Print a result for a program."""
    put(json.dumps(value, indent=2, default=str))


def await_or_exit(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; end the command with the error's own exit code if it fails, with 130 on Ctrl-C."""
    return call_or_exit(lambda: asyncio.run(work))


def call_or_exit(work: Callable[[], T]) -> T:
    """Do `work`; end the command with the error's own exit code if it fails, with 130 on Ctrl-C."""
    try:
        return work()
    except OutliveError as error:
        say(f"outlive: {error}")
        if error.hint:
            say(f"  {error.hint}")
        raise typer.Exit(error.exit_code) from None
    except PermissionError as error:
        say(f"outlive: {error.filename}: permission denied")
        say("  The cluster belongs to another account: run the command as that one, or as root.")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        say("outlive: interrupted")
        raise typer.Exit(INTERRUPTED) from None
