"""A transcript as the script of an agent: what is said in each turn, by whom, and what it costs.

A transcript is a conversation in the OpenAI chat format: `{"id": ..., "messages": [{"role": ..., ...}, ...]}`.
Reading one refuses whatever an agent could not live through, and says where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outlive.errors import UnstorableError
from outlive.history import SourceConversation, SourceTurn
from outlive.stores.encoding import digest, encode

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_ID_LENGTH = 400


class FlawError(ValueError):
    """A transcript is not one; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What the assistant asked a tool for."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation to live through. `requests` holds, by position, what each tool turn answers."""

    conversation: str
    messages: tuple[Mapping[str, Any], ...]
    requests: Mapping[int, ToolRequest]

    def source(self) -> SourceConversation:
        """What the conversation has to be in the end."""
        turns = (SourceTurn(turn_id(n), content_digest(message)) for n, message in enumerate(self.messages))
        return SourceConversation(self.conversation, tuple(turns))


def turn_id(position: int) -> str:
    """The id of the turn at a position: whoever lives a script again makes the same ids."""
    return f"turn-{position}"


def call_key(position: int) -> str:
    """The key of the tool call that the turn at a position answers."""
    return f"call-{position}"


def content_digest(value: object) -> str:
    """A text that two values share only when they are stored as the same bytes."""
    return digest(encode(value, "a turn")).hex()


def read_script(raw: object, default_id: str) -> Script:
    """A script from one decoded line; `default_id` names it when it has no id.

    Raises:
        FlawError: it is no conversation in the OpenAI chat format, or holds what can't be stored.
    """
    if not isinstance(raw, dict):
        raise FlawError(f"it is {_kind(raw)}, not an object with `messages`")
    messages = raw.get("messages")
    if not isinstance(messages, list) or not messages:
        raise FlawError("`messages` is missing, empty or not a list")
    conversation = raw.get("id", default_id)
    if not isinstance(conversation, str) or not 0 < len(conversation) <= MAX_ID_LENGTH:
        raise FlawError(f"`id` must be a string of 1 to {MAX_ID_LENGTH} characters")
    try:
        encode(conversation, "`id`")
        for position, message in enumerate(messages):
            encode(message, f"message {position}")
    except UnstorableError as error:
        raise FlawError(str(error)) from None
    return Script(conversation, tuple(messages), _requests(messages))


def _requests(messages: Sequence[object]) -> dict[int, ToolRequest]:
    """Check every message, and find what each tool turn answers."""
    asked: dict[str, ToolRequest] = {}
    answered: dict[int, ToolRequest] = {}
    for position, message in enumerate(messages):
        where = f"message {position}"
        if not isinstance(message, dict):
            raise FlawError(f"{where} is {_kind(message)}, not an object")
        match message.get("role"):
            case "assistant":
                asked.update(_tool_calls(message, where))
            case "tool":
                answered[position] = _answered(message, asked, where)
            case "system" | "developer" | "user":
                _require_content(message, where)
            case role:
                raise FlawError(f"{where} has the role {role!r}; a role is one of {', '.join(ROLES)}")
    return answered


def _tool_calls(message: Mapping[str, Any], where: str) -> dict[str, ToolRequest]:
    calls = message.get("tool_calls")
    if calls is None:
        _require_content(message, where)
        return {}
    if not isinstance(calls, list) or not calls:
        raise FlawError(f"`tool_calls` of {where} is not a list with calls")
    return dict(_tool_call(call, where) for call in calls)


def _tool_call(call: object, where: str) -> tuple[str, ToolRequest]:
    match call:
        case {"id": str(call_id), "function": {"name": str(name), "arguments": str(arguments)}}:
            return call_id, ToolRequest(name, arguments)
        case _:
            raise FlawError(f"a tool call of {where} has no `id`, `function.name` or `function.arguments` as a string")


def _answered(message: Mapping[str, Any], asked: Mapping[str, ToolRequest], where: str) -> ToolRequest:
    _require_content(message, where)
    request = asked.get(str(message.get("tool_call_id")))
    if request is None:
        raise FlawError(f"{where} answers the tool call {message.get('tool_call_id')!r}, which nobody made before it")
    return request


def _require_content(message: Mapping[str, Any], where: str) -> None:
    if not isinstance(message.get("content"), str | list):
        raise FlawError(f"{where} has no `content`")


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
