"""The code blocks of a page of documentation, and what is to be done with each.

A fenced block runs unless its language says that it is only to be read. An HTML comment right above it, which no
reader sees, may say otherwise:

    <!-- not run: it needs three hosts -->     leave it alone, for this reason
    <!-- file: agent.py -->                    save it under this name, for the blocks below
    <!-- exit: 3 -->                           its last command must end with this code

and one anywhere on the page says which cluster its blocks work on: `<!-- cluster: shared -->` is the one of the
test run, `<!-- cluster: own -->` one that the page itself brings up and takes down, `<!-- cluster: lost -->` one of
which only the store of its backups is left; without it there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from markdown_it import MarkdownIt
from markdown_it.token import Token

Language = Literal["python", "console", "sh", "sql", "json", "yaml", "toml", "text"]
Cluster = Literal["none", "shared", "own", "lost"]
LANGUAGES = frozenset(get_args(Language))

_COMMENT = re.compile(r"<!-- (not run|file|exit): (\S.*?) -->\s*")
_CLUSTER = re.compile(r"<!-- cluster: (shared|own|lost) -->")
_DIRECTIVE = re.compile(r"\{([\w-]+)\}\s*(\S*)")
_ADMONITIONS = frozenset({"note", "tip", "warning", "important", "caution", "admonition"})


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` counts from 1 and is the first line of its body."""

    language: Language
    body: str
    line: int
    not_run: str | None = None
    file: str | None = None
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, with the output that the page shows below it."""

    text: str
    shown: tuple[str, ...]


def cluster_of(page: str) -> Cluster:
    """Which cluster the blocks of a page work on."""
    found = _CLUSTER.search(page)
    return cast("Cluster", found[1]) if found else "none"


def blocks_of(page: str, first_line: int = 1) -> Iterator[Block]:
    """The blocks of a page, from top to bottom, those inside notes and warnings too.

    Raises:
        ValueError: a block has no language, or one that nobody knows how to run.
    """
    above: Token | None = None
    for token in MarkdownIt().parse(page):
        if token.type == "fence" and token.map is not None:
            yield from _fence(token, above, first_line + token.map[0] + 1)
        above = token


def _fence(token: Token, above: Token | None, line: int) -> Iterator[Block]:
    directive = _DIRECTIVE.match(token.info)
    if directive and directive[1] in _ADMONITIONS:
        yield from blocks_of(token.content, line)
    elif directive and directive[1] == "code-block":
        yield _block(directive[2], token.content, line, above)
    elif not directive:
        yield _block(token.info.strip(), token.content, line, above)


def _block(language: str, body: str, line: int, above: Token | None) -> Block:
    if language not in LANGUAGES:
        raise ValueError(f"line {line}: a block of {language!r} is none of {', '.join(sorted(LANGUAGES))}")
    comment = _COMMENT.fullmatch(above.content) if above is not None and above.type == "html_block" else None
    kind, text = (comment[1], comment[2]) if comment else ("", "")
    return Block(
        language=cast("Language", language),
        body=body,
        line=line,
        not_run=text if kind == "not run" else None,
        file=text if kind == "file" else None,
        exit_code=int(text) if kind == "exit" else 0,
    )


def commands_of(body: str) -> list[Command]:
    """The commands of a console block: each begins with `$ `, and goes on after a backslash.

    Raises:
        ValueError: the block does not begin with a command.
    """
    commands: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], ()))
        elif not commands:
            raise ValueError(f"a console block begins with `$ `, not with {line!r}")
        elif commands[-1].text.endswith("\\"):
            commands[-1] = Command(f"{commands[-1].text}\n{line}", ())
        else:
            commands[-1] = Command(commands[-1].text, (*commands[-1].shown, line))
    return commands


def output_matches(shown: tuple[str, ...], output: str) -> bool:
    """Whether a command printed what the page shows.

    `...` stands for any text within a line and, alone on a line, for any number of lines; blanks at the end of a
    line don't count. A command without shown output may print what it likes.
    """
    if not shown:
        return True
    lines = [r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line) for line in shown]
    return re.fullmatch("".join(lines), "".join(f"{line.rstrip()}\n" for line in output.splitlines())) is not None


def _line_pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + "\n"
