"""Conversations as lines of text, and lines as conversations again.

A conversation is a header line with the format's version and how many turns, tool calls and checkpoints follow, and
then one line for each of them:

    {"conversation": {"format": 1, "id": "trip-7", ..., "turns": 2, "tool_calls": 0, "checkpoints": 1}}
    {"turn": {"id": "t1", "position": 0, "role": "user", "content": "Book a window seat.", ...}}

A line in the OpenAI chat format is a whole conversation: `{"id": ..., "messages": [{"role": ..., "content": ...}]}`.
Both kinds may stand in one file.

Invariant: a conversation comes out of the reader only if every one of its lines was whole: the counts are those that
the header promised, positions have no hole, and each field has its type. What is damaged is a flaw with its line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

FORMAT = 1
SECTIONS = {"turn": "turns", "tool_call": "tool_calls", "checkpoint": "checkpoints"}
"""The kinds of lines after a header, and the names of their counts in it."""

_NAMES = {"turn": "id", "tool_call": "key", "checkpoint": "version"}
_STATUSES = ("open", "complete")
_CALL_STATUSES = ("started", "finished", "failed")
Json = Mapping[str, Any]


class FlawError(ValueError):
    """A line is not what it has to be; the message says in what, `line` counts from 1."""

    def __init__(self, line: int, flaw: str) -> None:
        super().__init__(f"line {line}: {flaw}")
        self.line = line


@dataclass(slots=True)
class Packed:
    """A conversation between two databases; `line` is where it began."""

    line: int
    conversation: Json
    turns: list[Json] = field(default_factory=list)
    tool_calls: list[Json] = field(default_factory=list)
    checkpoints: list[Json] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The conversation's id."""
        return str(self.conversation["id"])

    def section(self, name: str) -> list[Json]:
        """The objects of one section by its name."""
        return {"turns": self.turns, "tool_calls": self.tool_calls, "checkpoints": self.checkpoints}[name]


def packed_lines(packed: Packed) -> Iterator[str]:
    """The header and the lines of a conversation, without line ends."""
    counts = {name: len(packed.section(name)) for name in SECTIONS.values()}
    yield _line({"conversation": {"format": FORMAT, **packed.conversation, **counts}})
    for kind, name in SECTIONS.items():
        for item in packed.section(name):
            yield _line({kind: item})


def openai_line(packed: Packed) -> str:
    """The conversation in the OpenAI chat format: a turn whose content is a message is that message."""
    messages = [_message(turn) for turn in packed.turns]
    metadata = packed.conversation["metadata"]
    return _line({"id": packed.id, **({"metadata": metadata} if metadata else {}), "messages": messages})


def _message(turn: Json) -> Json:
    content = turn["content"]
    if isinstance(content, dict) and "role" in content:
        return content
    return {"role": turn["role"], "content": content if isinstance(content, str) else _line(content)}


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Reader:
    """Takes lines one by one and gives back conversations as they become whole."""

    def __init__(self) -> None:
        self._line = 0
        self._begun: Packed | None = None
        self._missing: dict[str, int] = {}
        self._known: set[tuple[str, object]] = set()

    def feed(self, line: str) -> Iterator[Packed]:
        """The conversations that this line completes.

        Raises:
            FlawError: it is damaged, or comes where another line was due.
        """
        self._line += 1
        if not line.strip():
            return
        value = self._decoded(line)
        match value:
            case {"messages": _}:
                self._require_nothing_missing()
                yield self._chat(value)
            case {"conversation": dict() as header}:
                self._require_nothing_missing()
                self._begin(header)
            case dict() if len(value) == 1 and next(iter(value)) in SECTIONS:
                self._add(*next(iter(value.items())))
            case _:
                raise self._flaw("it is neither a header nor a turn, tool call or checkpoint, nor a chat")
        if self._begun is not None and not any(self._missing.values()):
            whole, self._begun = self._begun, None
            yield whole

    def end(self) -> None:
        """Say that there are no more lines.

        Raises:
            FlawError: the last conversation is not whole.
        """
        self._line += 1
        self._require_nothing_missing()

    def _flaw(self, flaw: str) -> FlawError:
        return FlawError(self._line, flaw)

    def _decoded(self, line: str) -> Any:
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            raise self._flaw(f"not JSON: {error.msg} at column {error.colno}") from None
        except (RecursionError, ValueError) as error:
            raise self._flaw(f"not usable JSON: {error}") from None

    def _require_nothing_missing(self) -> None:
        if self._begun is not None:
            missing = ", ".join(f"{count} {name}" for name, count in self._missing.items() if count)
            raise self._flaw(f"the conversation {self._begun.id!r} of line {self._begun.line} lacks {missing}")

    def _begin(self, header: Json) -> None:
        if header.get("format") != FORMAT:
            raise self._flaw(f"the format is {header.get('format')!r}, this code reads {FORMAT}")
        self._check(header, {"id": _is_text, "status": _STATUSES.__contains__, "metadata": _is_object, **_UPDATED})
        self._check(header, dict.fromkeys(SECTIONS.values(), _is_count))
        self._missing = {name: header[name] for name in SECTIONS.values()}
        kept = {name: header[name] for name in ("id", "status", "metadata", *_UPDATED) if name in header}
        self._begun = Packed(self._line, kept)
        self._known = set()

    def _add(self, kind: str, item: Any) -> None:
        name = SECTIONS[kind]
        if self._begun is None or not self._missing[name]:
            raise self._flaw(f"a {kind} that no header promised")
        if not isinstance(item, dict):
            raise self._flaw(f"the {kind} is no object")
        section = self._begun.section(name)
        self._check(item, _FIELDS[kind])
        if kind == "turn" and item["position"] != len(section):
            raise self._flaw(f"the turn has the position {item['position']}, {len(section)} was due")
        if kind == "tool_call":
            self._check_call(item)
        called = (kind, item[_NAMES[kind]])
        if called in self._known:
            raise self._flaw(f"the {kind} {called[1]!r} is there twice")
        self._known.add(called)
        section.append(item)
        self._missing[name] -= 1

    def _check_call(self, item: Json) -> None:
        ended = item["status"] != "started"
        if (item.get("finished_at_us") is not None) != ended:
            raise self._flaw("the tool call has ended without a moment, or has a moment and has not ended")
        if (item.get("error") is not None) != (item["status"] == "failed"):
            raise self._flaw("the tool call failed without an error, or has an error and did not fail")

    def _check(self, item: Json, fields: Mapping[str, Callable[[Any], bool]]) -> None:
        for name, is_right in fields.items():
            if name not in item:
                raise self._flaw(f"`{name}` is missing")
            if not is_right(item[name]):
                raise self._flaw(f"`{name}` can't be {_line(item[name])[:100]}")

    def _chat(self, chat: Json) -> Packed:
        messages = chat["messages"]
        if not isinstance(messages, list) or not messages:
            raise self._flaw("`messages` is empty or not a list")
        if not _is_object(chat.get("metadata", {})):
            raise self._flaw("`metadata` is no object")
        name = chat.get("id", f"chat-{hashlib.sha256(_line(messages).encode(errors='replace')).hexdigest()[:32]}")
        if not _is_text(name):
            raise self._flaw("`id` is no string of 1 to 500 characters")
        turns = [self._chat_turn(position, message) for position, message in enumerate(messages)]
        return Packed(self._line, {"id": name, "status": "open", "metadata": chat.get("metadata", {})}, turns)

    def _chat_turn(self, position: int, message: Any) -> Json:
        if not isinstance(message, dict) or not _is_text(message.get("role")):
            raise self._flaw(f"message {position} is no object with a `role`")
        turn = {"id": f"turn-{position}", "position": position, "role": message["role"], "content": message}
        return {**turn, "tokens": 0, "dollars": "0"}


def read_lines(lines: Iterable[str]) -> Iterator[Packed]:
    """The conversations of all lines, each as soon as it is whole."""
    reader = Reader()
    for line in lines:
        yield from reader.feed(line)
    reader.end()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 500


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_moment(value: object) -> bool:
    return _is_count(value) and cast("int", value) < 2**52  # the year 2112, until which a double holds microseconds


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_amount(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).isdigit() and value.isascii() and len(value) < 100


def _is_any(_value: object) -> bool:
    return True


_UPDATED: dict[str, Callable[[Any], bool]] = {"created_at_us": _is_moment, "updated_at_us": _is_moment}
_COST: dict[str, Callable[[Any], bool]] = {"tokens": _is_count, "dollars": _is_amount}
_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "turn": {
        "id": _is_text,
        "position": _is_count,
        "role": _is_text,
        "content": _is_any,
        "created_at_us": _is_moment,
        **_COST,
    },
    "tool_call": {
        "key": _is_text,
        "name": lambda value: isinstance(value, str),
        "arguments": lambda value: isinstance(value, list),
        "status": _CALL_STATUSES.__contains__,
        "attempts": lambda value: _is_count(value) and value > 0,
        "result": _is_any,
        "error": lambda value: value is None or isinstance(value, str),
        "started_at_us": _is_moment,
        "finished_at_us": lambda value: value is None or _is_moment(value),
        **_COST,
    },
    "checkpoint": {
        "version": lambda value: _is_count(value) and value > 0,
        "turn_count": _is_count,
        "state": _is_any,
        "created_at_us": _is_moment,
    },
}
