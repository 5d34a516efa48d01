"""Carrying conversations out of a database and into one: each whole, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from outlive.errors import ConfigurationError, NotFoundError, UnstorableError
from outlive.stores.encoding import checked_name, decode, digest, encode, encode_object
from outlive.stores.plan.transfer import SECTIONS, FlawError, Packed, Reader, openai_line, packed_lines
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

Format = Literal["jsonl", "openai"]

_HINT = "What was whole before this line is imported; mend the line and import the file again: nothing is doubled."


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of an import: conversations that are new, those that were there already, and the new ones' turns."""

    imported: int = 0
    unchanged: int = 0
    turns: int = 0

    def plus(self, packed: Packed, *, new: bool) -> ImportReport:
        """The same with one more conversation."""
        if not new:
            return ImportReport(self.imported, self.unchanged + 1, self.turns)
        return ImportReport(self.imported + 1, self.unchanged, self.turns + len(packed.turns))


async def export(statements: Statements, id: str, format: str) -> AsyncIterator[str]:  # noqa: A002
    """The lines of a conversation, as it is at one moment."""
    if format not in get_args(Format):
        raise ConfigurationError(f"the format is one of {', '.join(get_args(Format))}, not {format!r}")
    packed = await _packed(statements, id)
    if format == "openai":
        yield openai_line(packed)
        return
    for line in packed_lines(packed):
        yield line


async def _packed(statements: Statements, id: str) -> Packed:  # noqa: A002
    rows = await statements.read_all(queries("life")["export"], id)
    if not rows:
        raise NotFoundError(f"there is no conversation {id!r}")
    packed = Packed(0, decode(rows[0]["body"]))
    for row in rows[1:]:
        packed.section(SECTIONS[row["kind"]]).append(decode(row["body"]))
    return packed


async def import_lines(
    statements: Statements, lines: Iterable[str] | AsyncIterable[str], max_bytes: int
) -> ImportReport:
    """Keep every conversation of these lines."""
    report = ImportReport()
    reader = Reader()
    try:
        async for line in _each(lines):
            for packed in reader.feed(line):
                report = report.plus(packed, new=await _keep(statements, packed, max_bytes))
        reader.end()
    except FlawError as flaw:
        raise UnstorableError(str(flaw), hint=_HINT) from None
    return report


async def _each(lines: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
        return
    for line in lines:
        yield line


async def _keep(statements: Statements, packed: Packed, max_bytes: int) -> bool:
    try:
        document, hashes = _document(packed, max_bytes)
    except UnstorableError as error:
        raise UnstorableError(f"the conversation of line {packed.line}: {error}", hint=_HINT) from None
    row = await statements.write(queries("life")["import"], packed.id, document, hashes)
    return bool(row["new"])


def _document(packed: Packed, max_bytes: int) -> tuple[str, list[bytes]]:
    """The conversation as one text, whose parts are the very texts that are stored; and its tool calls' hashes."""
    checked_name(packed.id, "a conversation's id")
    sections = {
        "conversation": encode_object(packed.conversation, "its metadata", max_bytes),
        "turns": _listed(packed.turns, "id", "the turn", max_bytes),
        "tool_calls": _listed(packed.tool_calls, "key", "the tool call", max_bytes),
        "checkpoints": _listed(packed.checkpoints, "version", "the checkpoint", max_bytes),
    }
    hashes = [digest(f"{call['name']}\n{encode(call['arguments'], 'its arguments')}") for call in packed.tool_calls]
    return "{" + ",".join(f'"{name}":{text}' for name, text in sections.items()) + "}", hashes


def _listed(items: Iterable[Mapping[str, Any]], name: str, what: str, max_bytes: int) -> str:
    # A little more than the content's own limit: its name, role and numbers stand in the same text.
    return "[" + ",".join(encode(item, f"{what} {item[name]!r}", max_bytes + _FRAME_BYTES) for item in items) + "]"


_FRAME_BYTES = 8 * 1024
