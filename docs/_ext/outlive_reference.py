"""Reference pages that are read off the code when the documentation is built, so that they can't drift."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from outlive import errors
from outlive.errors import OutliveError


class ErrorsDirective(SphinxDirective):
    """The tree of errors, then each error with its code, exit code, outcome and hint."""

    def run(self) -> list[nodes.Node]:
        """Render the page's part as nodes."""
        return self.parse_text_to_nodes(errors_page(), allow_section_headings=True)


class CommandLineDirective(SphinxDirective):
    """Every command with its arguments and options, as `--help` has them."""

    def run(self) -> list[nodes.Node]:
        """Render the page's part as nodes."""
        return self.parse_text_to_nodes(command_line_page(), allow_section_headings=True)


def errors_page() -> str:
    """The taxonomy as Markdown."""
    tree = inspect.cleandoc(errors.__doc__ or "")
    sections = "\n".join(_error_section(error) for error in _family(OutliveError))
    return f"```text\n{tree}\n```\n\n{sections}"


def _family(error: type[OutliveError]) -> Iterator[type[OutliveError]]:
    yield error
    for child in error.__subclasses__():
        yield from _family(child)


def _error_section(error: type[OutliveError]) -> str:
    facts = [
        f"code `{error.code}`",
        f"exit code {error.exit_code}",
        f"outcome `{error.outcome.value}`",
        "may be tried again" if error.retryable else "not to be tried again as it is",
    ]
    hint = f"\nWhat to do: {error.hint}\n" if error.hint else ""
    return f"(error-{error.code})=\n## {error.__name__}\n\n{' · '.join(facts)}\n\n{inspect.getdoc(error)}\n{hint}"


def command_line_page() -> str:
    """Every command as Markdown."""
    command = typer.main.get_command(import_module("outlive.cli.app").app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="outlive", indent=1)
    # The page has a title of its own; what is above the first usage line is the program's one sentence.
    return page.replace("## `outlive`\n", "", 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("outlive-errors", ErrorsDirective)
    app.add_directive("outlive-command-line", CommandLineDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
