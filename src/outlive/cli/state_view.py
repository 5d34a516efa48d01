"""How conversations are shown: a table, a transcript, or an object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from outlive.errors import ConfigurationError
from outlive.stores import Page, Picture

_MAX_SHOWN = 2000
"""Characters of one turn or state that are shown to a person; --json shows all."""


def metadata_of(pairs: Iterable[str]) -> dict[str, Any]:
    """What KEY=VALUE texts say together; a key may lead into objects: a.b=1.

    Raises:
        ConfigurationError: one has no equals sign, or two contradict each other.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--metadata takes KEY=VALUE, not {pair!r}")
        *path, last = name.split(".")
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise ConfigurationError(f"--metadata {pair!r} contradicts another one")
        if last in inner:
            raise ConfigurationError(f"--metadata {pair!r} contradicts another one")
        inner[last] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def page_as_json(page: Page) -> dict[str, Any]:
    """The page for a program, moments as text."""
    conversations = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(summary).items()}
        for summary in page.conversations
    ]
    return {"conversations": conversations, "next": page.next}


def page_as_text(page: Page) -> str:
    """A line a conversation, and how to get the next page."""
    head = ("ID", "STATUS", "TURNS", "UPDATED", "WORKER", "METADATA")
    rows = [
        (each.id, each.status, str(each.turn_count), _moment(each.updated_at), each.worker or "-", _json(each.metadata))
        for each in page.conversations
    ]
    if not rows:
        return "There is no such conversation."
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in (head, *rows)
    ]
    return "\n".join([*lines, *([f"More: --after {page.next}"] if page.next else [])])


def picture_as_text(picture: Picture) -> str:
    """A conversation as a person reads it."""
    lines = [f"{picture.id} · {picture.status} · {len(picture.turns)} turns", f"metadata    {_json(picture.metadata)}"]
    if picture.checkpoint is not None:
        saved = picture.checkpoint
        lines.append(f"checkpoint  {saved.version}, at turn {saved.turn_count}: {_shown(saved.state)}")
    lines += [
        f"tool call   {call.key}: {call.name}, {call.status.value}, {call.attempts} attempts"
        for call in picture.tool_calls
    ]
    for turn in picture.turns:
        lines += ["", f"[{turn.position}] {turn.role} · {turn.id} · {_moment(turn.created_at)}", _shown(turn.content)]
    return "\n".join(lines)


def picture_as_json(picture: Picture) -> dict[str, Any]:
    """A conversation for a program."""
    return {
        "id": picture.id,
        "status": picture.status,
        "metadata": dict(picture.metadata),
        "lease_token": picture.lease_token,
        "lease_until": picture.lease_until and picture.lease_until.isoformat(),
        "turns": [
            {
                "id": turn.id,
                "position": turn.position,
                "role": turn.role,
                "content": turn.content,
                "tokens": turn.tokens,
                "dollars": str(turn.dollars),
                "created_at": turn.created_at.isoformat(),
            }
            for turn in picture.turns
        ],
        "checkpoint": picture.checkpoint
        and {
            "version": picture.checkpoint.version,
            "turn_count": picture.checkpoint.turn_count,
            "state": picture.checkpoint.state,
            "created_at": picture.checkpoint.created_at.isoformat(),
        },
        "tool_calls": [
            {
                "key": call.key,
                "name": call.name,
                "arguments": call.arguments,
                "status": call.status.value,
                "attempts": call.attempts,
                "result": call.result,
                "error": call.error,
                "tokens": call.tokens,
                "dollars": str(call.dollars),
            }
            for call in picture.tool_calls
        ],
    }


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)


def _shown(value: object) -> str:
    """A text as it is, a message's text, or anything else as JSON; cut where it is long."""
    match value:
        case str() as text:
            pass
        case {"content": str() as text}:
            pass
        case _:
            text = _json(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text):,} characters)"
