"""`outlive state` from the shell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

import outlive
from outlive.cli.app import app
from outlive.cli.state_files import export_to, write_all
from outlive.stores import AgentState

Run = Callable[..., Result]


@pytest.fixture
def run(database: str) -> Run:
    """The command on the module's database."""
    return lambda *arguments, **options: CliRunner().invoke(app, ["state", *arguments, "--dsn", database], **options)


@pytest.fixture
def name(database: str) -> str:
    """A conversation of three turns that only this test knows."""
    made = f"shell-{uuid4()}"

    async def make() -> None:
        async with outlive.connect(database) as db:
            held = await AgentState(db).conversations.open(made, worker="w", metadata={"subject": made})
            for n in range(3):
                await held.append(f"t{n}", "user", {"role": "user", "content": f"says {n}"})
            await held.checkpoint({"step": 3})
            await held.release()

    asyncio.run(make())
    return made


def printed(result: Result) -> object:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_conversation_is_found_and_shown(run: Run, name: str) -> None:
    """In a list, by its metadata, and whole."""
    assert name in run("list").stdout
    found = printed(run("search", "--metadata", f"subject={name}", "--json"))
    assert isinstance(found, dict)
    assert [each["id"] for each in found["conversations"]] == [name]
    assert "says 2" in run("show", name).stdout
    shown = printed(run("show", name, "--json"))
    assert isinstance(shown, dict)
    assert [turn["content"]["content"] for turn in shown["turns"]] == ["says 0", "says 1", "says 2"]


def test_lines_come_from_standard_input_too(run: Run) -> None:
    """As a pipe, and with the mark that some editors begin a file with."""
    chat = json.dumps({"id": f"piped-{uuid4()}", "messages": [{"role": "user", "content": "\u00fc\u2028"}]})
    for mark, new in (("\ufeff", 1), ("", 0)):
        report = printed(run("import", "-", "--json", input=f"{mark}{chat}\n".encode()))
        assert report == {"imported": new, "unchanged": 1 - new, "turns": new}
    damaged = run("import", "-", input=b"\xff")
    assert (damaged.exit_code, "is not UTF-8" in damaged.stderr) == (2, True)


async def test_a_conversation_that_is_erased_while_all_are_exported_is_left_out(database: str) -> None:
    """What was listed and is gone when its turn comes ends no export; what was asked for by name does."""
    names = [f"going-{uuid4()}", f"staying-{uuid4()}"]
    async with outlive.connect(database) as db:
        state = AgentState(db)

        async def listed() -> AsyncIterator[str]:
            await state.conversations.create(names)
            await state.conversations.erase(names[0])
            for each in names:
                yield each

        file = StringIO()
        assert await write_all(state, listed(), file, format="jsonl", listed=True) == 1
        assert names[1] in file.getvalue()
        with pytest.raises(outlive.NotFoundError):
            await export_to(state, names, None, everything=False, format="jsonl")


def test_a_file_goes_out_and_in(run: Run, name: str, tmp_path: Path) -> None:
    """Exported, imported twice, erased; and the report counts what was erased."""
    file = tmp_path / "out.jsonl"
    assert run("export", name, "-o", str(file)).exit_code == 0
    assert list(tmp_path.iterdir()) == [file]
    assert printed(run("import", str(file), "--json")) == {"imported": 0, "unchanged": 1, "turns": 0}
    assert json.loads(run("export", name, "--format", "openai").stdout)["messages"][0]["content"] == "says 0"
    assert printed(run("fork", name, f"{name}/2", "--at-turn", "t1", "--json")) == {"id": f"{name}/2", "turns": 2}
    erased = printed(run("erase", "--subject", name, "--yes", "--json"))
    assert isinstance(erased, dict)
    assert erased["rows"] == {"checkpoints": 1, "conversations": 2, "forks": 1, "turns": 5}
    refused = run("import", str(file))
    assert (refused.exit_code, "was erased" in refused.stderr) == (7, True)


def test_all_conversations_go_into_one_file(run: Run, name: str, tmp_path: Path) -> None:
    """As many as there are."""
    file = tmp_path / "all.jsonl"
    result = run("export", "--all", "-o", str(file))
    headers = [line for line in file.read_text().splitlines() if line.startswith('{"conversation"')]
    assert any(name in line for line in headers)
    assert f"exported {len(headers)} conversations" in result.stderr


def test_nothing_is_erased_without_a_yes(run: Run, name: str) -> None:
    """The question names what it is about."""
    result = run("erase", name, input="n\n")
    assert (result.exit_code, "nothing was changed" in result.stderr) == (1, True)
    assert run("show", name).exit_code == 0


def test_retention_can_be_tried_first(run: Run, name: str) -> None:
    """Nothing here is old, and nothing goes."""
    assert run("retention", "--older-than", "90d", "--dry-run").stdout.startswith("0 conversations")
    assert printed(run("retention", "--older-than", "90d", "--json")) == {
        "conversations": 0, "turns": 0, "batches": 1, "dry_run": False,
    }  # fmt: skip
    assert run("show", name).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("show", "nobody"), 7, "there is no conversation 'nobody'"),
        (("export",), 2, "what to export is not clear"),
        (("export", "--all", "nobody"), 2, "what to export is not clear"),
        (("export", "nobody", "--format", "xml"), 2, "the format is one of"),
        (("export", "nobody", "-o", "/nowhere/x"), 2, "can't be written"),
        (("import", "/nowhere/x"), 2, "can't be read"),
        (("list", "--since", "long"), 2, "no length of time"),
        (("list", "--status", "closed"), 2, "status is one of"),
        (("search", "--metadata", "x"), 2, "KEY=VALUE"),
        (("erase", "--yes"), 2, "nothing to erase was named"),
        (("retention", "--older-than", "soon"), 2, "no length of time"),
        (("fork", "nobody", "other"), 7, "there is no conversation"),
    ],
)
def test_a_mistake_is_one_sentence(run: Run, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """With the error's own exit code, and no traceback."""
    result = run(*arguments)
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.output
    assert "Traceback" not in result.output


def test_a_damaged_file_is_named_by_its_line(run: Run, tmp_path: Path) -> None:
    """So it can be mended and imported again."""
    file = tmp_path / "damaged.jsonl"
    file.write_text('{"id": "x", "messages": [{"role": "user", "content": "y"}]}\n{"turn": \n')
    result = run("import", str(file))
    assert (result.exit_code, "line 2: not JSON" in result.stderr) == (7, True)
