from pathlib import Path

import pytest

from documentation.blocks import Block, Command, blocks_of, cluster_of, commands_of, output_matches
from documentation.execution import Reader

PAGE = """# A page
<!-- cluster: own -->

```python
x = 1
```

<!-- not run: it needs three hosts -->
```console
$ outlive up
```

```{note}
<!-- exit: 3 -->
```sh
exit 3
```
"""


def _reader(directory: Path) -> Reader:
    return Reader("page.md", directory, {"PATH": "/usr/bin:/bin"})


def test_blocks_come_with_their_line_and_their_comment() -> None:
    """A block knows where it stands, why it is not run and how it must end."""
    python, console, *_ = blocks_of(PAGE)
    assert python == Block("python", "x = 1\n", line=5)
    assert console == Block("console", "$ outlive up\n", line=10, not_run="it needs three hosts")


def test_blocks_inside_an_admonition_are_found() -> None:
    """A note may hold a block, with lines counted from the top of the page."""
    page = "text\n\n````{note}\n<!-- exit: 3 -->\n```sh\nexit 3\n```\n````\n"
    assert list(blocks_of(page)) == [Block("sh", "exit 3\n", line=6, exit_code=3)]


def test_directives_that_hold_no_code_are_passed_over() -> None:
    """A table of contents is not code."""
    assert list(blocks_of("```{toctree}\nindex\n```\n")) == []


@pytest.mark.parametrize("language", ["", "ruby", "Python"])
def test_an_unknown_language_is_refused(language: str) -> None:
    """A block that nobody runs can't slip in under an unknown name."""
    with pytest.raises(ValueError, match="line 2: a block of"):
        list(blocks_of(f"```{language}\nx\n```\n"))


def test_the_page_names_its_cluster() -> None:
    """A page works on no cluster unless it says which."""
    assert [cluster_of(PAGE), cluster_of("# Nothing")] == ["own", "none"]


def test_a_console_block_is_commands_and_their_output() -> None:
    """A command goes on after a backslash; what follows is its output."""
    body = "$ echo a \\\n    b\na b\n$ true\n"
    assert commands_of(body) == [Command("echo a \\\n    b", ("a b",)), Command("true", ())]


def test_a_console_block_begins_with_a_command() -> None:
    """Output without a command would never be checked."""
    with pytest.raises(ValueError, match="begins with"):
        commands_of("hello\n")


@pytest.mark.parametrize(
    ("shown", "output", "matches"),
    [
        ((), "anything", True),
        (("a",), "a\n", True),
        (("a",), "a\nb\n", False),
        (("a", "...", "d"), "a\nb\nc\nd\n", True),
        (("a", "...", "d"), "a\nd\n", True),
        (("took ... s",), "took 4.2 s   \n", True),
        (("took 1.0 s",), "took 110 s\n", False),
    ],
)
def test_output_is_compared_but_for_dots(shown: tuple[str, ...], output: str, matches: bool) -> None:
    """Three dots stand for what differs from run to run; all else must be as shown."""
    assert output_matches(shown, output) is matches


def test_python_blocks_share_a_session_and_may_await(tmp_path: Path) -> None:
    """Names live on from block to block, `await` works at the top and so does `asyncio.run`."""
    them = _reader(tmp_path)
    them.read(
        [
            Block("python", "import asyncio\n\nasync def answer(): return 42\n", line=1),
            Block("python", "first = await answer()\n", line=2),
            Block("python", "second = asyncio.run(answer())\n", line=3),
        ]
    )
    assert (them.namespace["first"], them.namespace["second"]) == (42, 42)


def test_a_saved_file_is_there_for_the_next_command(tmp_path: Path) -> None:
    """What a page tells its reader to save is saved, and can be run."""
    blocks = [
        Block("python", "print('hello')\n", 1, file="hello.py"),
        Block("console", "$ cat hello.py\nprint(...)\n", 2),
    ]
    _reader(tmp_path).read(blocks)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block("console", "$ false\n", 7), "page.md:7: `false` ended with 1, not 0"),
        (Block("console", "$ echo a\nb\n", 7), "page.md:7: `echo a` printed\na\n"),
        (Block("sh", "true\n", 7, exit_code=3), "ended with 0, not 3"),
    ],
)
def test_a_page_that_lies_fails(tmp_path: Path, block: Block, message: str) -> None:
    """A wrong exit code or output fails, naming the page and the line."""
    with pytest.raises(AssertionError) as failure:
        _reader(tmp_path).read([block])
    assert message in str(failure.value)


@pytest.mark.parametrize("language", ["json", "yaml", "toml"])
def test_data_must_at_least_parse(tmp_path: Path, language: str) -> None:
    """A block of data that is not data fails."""
    with pytest.raises(Exception, match=r"line 1|Expecting|expected"):
        _reader(tmp_path).read(list(blocks_of(f"```{language}\n[1,\n```\n")))
