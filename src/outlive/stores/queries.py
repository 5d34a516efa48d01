"""The named queries and the numbered migrations, as they lie in the files beside this one."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from outlive.stores.plan.migration import Migration, checksum

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


@cache
def queries(room: str) -> dict[str, str]:
    """The named queries of one of the stores' files."""
    return named_queries(_sql().joinpath("queries", f"{room}.sql"))


def named_queries(file: Traversable) -> dict[str, str]:
    """The queries of a file by their names; each begins at `-- name:` and ends where the next begins."""
    parts = _NAME.split(file.read_text("utf-8"))
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def known_migrations() -> tuple[Migration, ...]:
    """Every migration that this code knows, by number."""
    found = ((_FILE.fullmatch(path.name), path) for path in _sql().joinpath("migrations").iterdir())
    return tuple(sorted(_migration(match, path) for match, path in found if match is not None))


def _migration(match: re.Match[str], path: Traversable) -> Migration:
    text = path.read_text("utf-8")
    return Migration(version=int(match[1]), name=match[2], checksum=checksum(text), sql=text)


def _sql() -> Traversable:
    return files("outlive.stores").joinpath("sql")
