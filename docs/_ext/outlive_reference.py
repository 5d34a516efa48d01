"""Reference pages that are read off the code when the documentation is built, so that they can't drift."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator

import typer
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click
from typer.testing import CliRunner

from outlive import errors
from outlive.cli.app import app
from outlive.client import dsn_parameters
from outlive.cluster.spec import Profile
from outlive.errors import OutliveError


def errors_page() -> str:
    """The tree of errors, then each error with its code, exit code, outcome and hint."""
    tree = inspect.cleandoc(errors.__doc__ or "")
    sections = "\n".join(_error_section(error) for error in _family(OutliveError))
    return f"```text\n{tree}\n```\n\n{sections}"


def _family(error: type[OutliveError]) -> Iterator[type[OutliveError]]:
    # A room's own subclasses stay inside it: callers see them as what they derive from.
    if error.__module__ != errors.__name__:
        return
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


def exit_codes_page() -> str:
    """What a command's exit code says: of each code the errors that first bring it."""
    errors_of: dict[int, list[str]] = {}
    for error in _family(OutliveError):
        if "exit_code" in vars(error):
            errors_of.setdefault(error.exit_code, []).append(f"[{error.__name__}](errors.md#error-{error.code})")
    rows = [f"| {code} | {' · '.join(named)} |" for code, named in sorted(errors_of.items())]
    return "\n".join(["| code | error, and those below it |", "|---|---|", *rows])


def command_line_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    command = typer.main.get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="outlive")
    # The page has a title of its own, and a \b paragraph is one that keeps its lines: the examples.
    page = page.removeprefix("# `outlive`\n")
    return re.sub(r"\x08\n(Examples?):\n((?:  .*\n)+)", _examples, page)


def _examples(match: re.Match[str]) -> str:
    commands = "".join(f"{line.strip()}\n" for line in match[2].splitlines())
    return f"**{match[1]}**:\n\n```sh\n{commands}```\n"


def dsn_parameters_page() -> str:
    """What may stand behind the question mark of a DSN."""
    groups: dict[str, Iterable[str]] = {
        "who and where, as an alternative to the address": dsn_parameters.IDENTITY,
        "of Outlive": dsn_parameters.OWN,
        "of the connection": dsn_parameters.DRIVER,
        "of the session": dsn_parameters.SETTINGS,
    }
    rows = (f"| {group} | {', '.join(f'`{name}`' for name in sorted(names))} |" for group, names in groups.items())
    return "| | parameters |\n|---|---|\n" + "\n".join(rows)


def profiles_page() -> str:
    """The settings that Patroni keeps for the whole cluster, a column for each profile."""
    columns = {profile: dict(_flat(_settings(profile))) for profile in Profile}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    head = f"| setting | {' | '.join(profile.value for profile in columns)} |\n|---|{'---|' * len(columns)}\n"
    return head + "\n".join(
        f"| `{name}` | {' | '.join(_value(column, name) for column in columns.values())} |" for name in names
    )


def _settings(profile: Profile) -> dict[str, object]:
    arguments = ["render", "patroni", "--node", "n1", "--profile", profile.value]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    settings = yaml.safe_load(printed.stdout)["bootstrap"]["dcs"]
    assert isinstance(settings, dict)
    return settings


def _flat(settings: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


def _value(column: dict[str, object], name: str) -> str:
    if name not in column:
        return "PostgreSQL's own"
    value = column[name]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _directive(page: Callable[[], str]) -> type[SphinxDirective]:
    class PageDirective(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            self.env.note_reread()  # the page's source says nothing of the code that it is read off
            return self.parse_text_to_nodes(page(), allow_section_headings=True)

    return PageDirective


def mark_code(_sphinx: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Tell reStructuredText that an indented paragraph of a docstring is code."""
    code = [
        at for at in range(1, len(lines)) if lines[at].startswith("    ") and not lines[at - 1] and _is_prose(lines, at)
    ]
    for at in reversed(code):
        lines[at:at] = [".. code-block:: python", ""]


def _is_prose(lines: list[str], at: int) -> bool:
    """Whether what stands above is a paragraph, and not code or a section such as `Raises:`."""
    return at >= 2 and not lines[at - 2].startswith("    ") and not lines[at - 2].endswith("Raises:")


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    sphinx.add_directive("outlive-errors", _directive(errors_page))
    sphinx.add_directive("outlive-exit-codes", _directive(exit_codes_page))
    sphinx.add_directive("outlive-command-line", _directive(command_line_page))
    sphinx.add_directive("outlive-dsn-parameters", _directive(dsn_parameters_page))
    sphinx.add_directive("outlive-profiles", _directive(profiles_page))
    sphinx.connect("autodoc-process-docstring", mark_code, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
