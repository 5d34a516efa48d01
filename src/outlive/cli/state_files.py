"""Files of conversations: written line by line and put in place when they are whole, read line by line."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from outlive.cli.terminal import say
from outlive.errors import ConfigurationError, NotFoundError
from outlive.stores import AgentState, ImportReport

STDIN = Path("-")
PROGRESS = 1_000
"""After how many conversations an export says how far it came."""


async def export_to(
    state: AgentState,
    ids: Sequence[str],
    output: Path | None,
    *,
    everything: bool,
    format: Any,  # noqa: A002 - checked by the store
) -> int:
    """Write conversations to a file or to standard output; how many."""
    if everything == bool(ids):
        raise ConfigurationError("what to export is not clear", hint="Name conversations by their ids, or say --all.")
    with _opened(output) as file:
        if everything:
            return await write_all(state, _all(state), file, format=format, listed=True)
        return await write_all(state, _each(ids), file, format=format, listed=False)


async def write_all(
    state: AgentState,
    names: AsyncIterator[str],
    file: TextIO,
    *,
    format: Any,  # noqa: A002
    listed: bool,
) -> int:
    """Write conversations one after the other; how many. Those that were `listed` may have been erased since."""
    count = 0
    async for name in names:
        try:
            async for line in state.conversations.export(name, format=format):
                file.write(line + "\n")
        except NotFoundError:
            if not listed:
                raise
            continue
        count += 1
        if count % PROGRESS == 0:
            say(f"{count:,} conversations")
    return count


async def _each(ids: Sequence[str]) -> AsyncIterator[str]:
    for name in ids:
        yield name


async def _all(state: AgentState) -> AsyncIterator[str]:
    after = None
    while True:
        page = await state.conversations.list(limit=1000, after=after)
        for summary in page.conversations:
            yield summary.id
        if (after := page.next) is None:
            return


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """The file to write; one of that name is replaced once the new one is whole."""
    if output is None:
        yield sys.stdout
        return
    unfinished = output.with_name(f"{output.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        unfinished.replace(output)
    except OSError as error:
        raise ConfigurationError(f"{output} can't be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _read(file: Path) -> Iterator[TextIO]:
    """The lines of a file. They end at "\\n" alone: other characters that end lines may stand in a JSON string.

    Some editors begin a file of UTF-8 with a mark, which is no part of it.
    """
    if file != STDIN:
        with file.open(encoding="utf-8-sig", newline="\n") as lines:
            yield lines
        return
    given = TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="\n")
    try:
        yield given
    finally:
        given.detach()


async def import_from(state: AgentState, file: Path) -> ImportReport:
    """Keep the conversations of a file, or of standard input if it is called `-`."""
    try:
        with _read(file) as lines:
            return await state.conversations.import_(lines)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from None
