"""A transcript that can't be lived through is refused, and the message says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.demo.plan.script import FlawError, ToolRequest, read_script
from outlive.demo.transcripts import cast_scripts, read_transcripts, write_transcripts
from outlive.errors import ConfigurationError

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}


@pytest.mark.parametrize(
    ("raw", "flaw"),
    [
        ([], "it is a list, not an object"),
        ("x", "it is a string, not an object"),
        ({}, "`messages` is missing"),
        ({"messages": []}, "`messages` is missing, empty"),
        ({"messages": [3]}, "message 0 is a number, not an object"),
        ({"id": 7, "messages": [USER]}, "`id` must be a string"),
        ({"id": "", "messages": [USER]}, "`id` must be a string"),
        ({"messages": [{"content": "hi"}]}, "message 0 has the role None"),
        ({"messages": [{"role": "human", "content": "hi"}]}, "message 0 has the role 'human'"),
        ({"messages": [{"role": "user"}]}, "message 0 has no `content`"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "message 1 has no `content`"),
        ({"messages": [{**ASKS, "tool_calls": []}]}, "`tool_calls` of message 0 is not a list with calls"),
        ({"messages": [{**ASKS, "tool_calls": [{"id": "c1"}]}]}, "a tool call of message 0 has no"),
        ({"messages": [USER, RESULT]}, "message 1 answers the tool call 'c1', which nobody made"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, r"message 0 can't be stored: \$\.content holds a NUL"),
    ],
)
def test_a_flaw_is_named_with_its_place(raw: object, flaw: str) -> None:
    """The sentence says which message, and what about it."""
    with pytest.raises(FlawError, match=flaw):
        read_script(raw, "line-1")


def test_a_tool_turn_knows_what_it_answers() -> None:
    """The same id may be asked again later in a conversation; the newest question counts."""
    again = {**ASKS, "tool_calls": [{**CALL, "function": {"name": "look", "arguments": '{"at":2}'}}]}
    script = read_script({"id": "x", "messages": [USER, ASKS, RESULT, again, RESULT]}, "line-1")
    assert script.requests == {2: ToolRequest("look", "{}"), 4: ToolRequest("look", '{"at":2}')}


def test_what_ships_is_readable_and_uses_tools() -> None:
    """Every shipped conversation has 8 to 24 messages, a tool call, and text beyond ASCII somewhere."""
    scripts = read_transcripts(None)
    assert len(scripts) == 12
    assert all(8 <= len(script.messages) <= 24 and script.requests for script in scripts)
    assert not all(str(script.messages).isascii() for script in scripts)


def test_a_malformed_line_names_file_line_and_flaw(tmp_path: Path) -> None:
    """Whoever wrote the file finds the place at once."""
    file = tmp_path / "mine.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n\n{"messages": [}\n')
    with pytest.raises(ConfigurationError, match=r"mine\.jsonl, line 3: not JSON: Expecting value at column 15"):
        read_transcripts(file)


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    """Two conversations can't share a recovery key."""
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "a", "messages": [{"role": "user", "content": "hi"}]}\n' * 2)
    with pytest.raises(ConfigurationError, match=r"line 2: the id 'a' was used in line 1"):
        read_transcripts(file)


@pytest.mark.parametrize(
    ("content", "flaw"), [(b"", "no conversation"), (b"\n\n", "no conversation"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_file_without_conversations_is_refused(tmp_path: Path, content: bytes, flaw: str) -> None:
    """An empty demo would prove nothing."""
    file = tmp_path / "mine.jsonl"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=flaw):
        read_transcripts(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message is a sentence, not a traceback."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.jsonl can't be read: No such file"):
        read_transcripts(tmp_path / "nowhere.jsonl")


def test_a_line_separator_inside_a_string_ends_no_line(tmp_path: Path) -> None:
    """JSON strings may hold U+2028; only a newline ends a line."""
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "a", "messages": [{"role": "user", "content": "one\u2028two\x85"}]}\n', "utf-8")
    (script,) = read_transcripts(file)
    assert script.messages[0]["content"] == "one\u2028two\x85"


def test_the_copy_that_workers_read_is_the_original(tmp_path: Path) -> None:
    """Scripts survive the way to a worker, under ids of this run."""
    scripts = cast_scripts(read_transcripts(None), "run", 2)
    assert len({script.conversation for script in scripts}) == 24
    write_transcripts(tmp_path / "scripts", scripts)
    assert read_transcripts(tmp_path / "scripts") == scripts
