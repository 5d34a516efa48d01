"""The file that transcripts are read from: one conversation a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from outlive.demo.plan.script import FlawError, Script, read_script
from outlive.errors import ConfigurationError

SHIPPED = "the transcripts that ship with outlive"

_HINT = 'One conversation a line, in the OpenAI chat format: {"id": ..., "messages": [{"role": ..., "content": ...}]}.'


def read_transcripts(path: Path | None) -> tuple[Script, ...]:
    """The conversations of a file, or without one the shipped ones.

    Raises:
        ConfigurationError: the file can't be read, holds no conversation, or a line of it is malformed; the message
            names file, line and what is wrong.
    """
    name = SHIPPED if path is None else str(path)
    scripts = tuple(_scripts(_lines(path, name), name))
    if not scripts:
        raise ConfigurationError(f"{name}: there is no conversation in it", hint=_HINT)
    return scripts


def write_transcripts(path: Path, scripts: Iterable[Script]) -> None:
    """Write scripts as a file that `read_transcripts` reads."""
    lines = (json.dumps({"id": each.conversation, "messages": each.messages}) + "\n" for each in scripts)
    path.write_text("".join(lines), "utf-8")


def cast_scripts(scripts: Sequence[Script], run: str, repeat: int) -> tuple[Script, ...]:
    """Each script `repeat` times, under ids that only this run has."""
    return tuple(
        replace(script, conversation=f"{run}/{script.conversation}" + (f"/{copy}" if repeat > 1 else ""))
        for copy in range(1, repeat + 1)
        for script in scripts
    )


def _lines(path: Path | None, name: str) -> list[str]:
    try:
        source = files("outlive.demo").joinpath("transcripts.jsonl") if path is None else path
        # Lines end at "\n" alone: str.splitlines would also split at characters that may stand in a JSON string.
        return source.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(f"{name} can't be read: {error.strerror}") from None


def _scripts(lines: Iterable[str], name: str) -> Iterator[Script]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            script = read_script(_decoded(line), f"line-{number}")
        except FlawError as flaw:
            raise ConfigurationError(f"{name}, line {number}: {flaw}", hint=_HINT) from None
        first = seen.setdefault(script.conversation, number)
        if first != number:
            raise ConfigurationError(f"{name}, line {number}: the id {script.conversation!r} was used in line {first}")
        yield script


def _decoded(line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise FlawError(f"not JSON: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise FlawError(f"not usable JSON: {error}") from None
