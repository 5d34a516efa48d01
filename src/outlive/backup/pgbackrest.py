"""pgBackRest as the engine of backups, for those who run it already. It is a program of its own, never part of ours.

It is run under the account that owns the server's files, as pgBackRest wants it; its configuration is the user's.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outlive.backup.engine import EngineBackup, Kind, Report
from outlive.backup.plan import pgbackrest as plan
from outlive.backup.plan.targets import Target
from outlive.errors import BackupError, ConfigurationError
from outlive.postgres import identity
from outlive.postgres.plan.identity import AsIs, Identity

BACKUP_LIMIT_S = 86_400.0
INFO_LIMIT_S = 60.0
MAX_WORDS = 2000
_HINT = "`pgbackrest --stanza={stanza} check` tells more."


@dataclass(frozen=True, slots=True)
class PgBackRest:
    """One stanza of a pgBackRest configuration. See `Engine`."""

    stanza: str
    config: Path = Path("/etc/pgbackrest.conf")
    program: str = "pgbackrest"
    run_as: Identity = field(default_factory=AsIs)

    @property
    def name(self) -> str:
        """See `Engine`."""
        return "pgbackrest"

    def check(self) -> None:
        """Make sure that the program and its configuration are there.

        Raises:
            ConfigurationError: one of them is not.
        """
        if shutil.which(self.program) is None:
            raise ConfigurationError(
                f"the program {self.program} is not installed", hint="On Debian: apt-get install pgbackrest."
            )
        if not self.config.is_file():
            raise ConfigurationError(f"pgBackRest's configuration {self.config} is not there")

    async def create(self, kind: Kind, report: Report) -> EngineBackup:
        """See `Engine`."""
        before = {backup.id for backup in await self.backups()}
        report(f"pgBackRest makes a backup ({kind.value}) of the stanza {self.stanza}")
        await self._run(plan.backup_arguments(kind), BACKUP_LIMIT_S)
        made = [backup for backup in await self.backups() if backup.id not in before]
        if not made:
            raise BackupError(f"pgBackRest ended well and lists no new backup of {self.stanza}", hint=self._hint)
        return made[-1]

    async def backups(self) -> tuple[EngineBackup, ...]:
        """See `Engine`.

        Raises:
            ConfigurationError: there is no such stanza.
        """
        stanzas: list[dict[str, Any]] = json.loads(await self._run(["--output=json", "info"], INFO_LIMIT_S))
        reason = plan.missing(stanzas, self.stanza)
        if reason is not None:
            raise ConfigurationError(
                f"pgBackRest has no stanza {self.stanza!r}: {reason}", hint="`pgbackrest stanza-create` makes it."
            )
        return plan.backups(stanzas, self.stanza)

    async def restore(self, backup: str | None, target: Target, into: Path) -> EngineBackup:
        """See `Engine`."""
        known = await self.backups()
        if not any(backup in (None, each.id) for each in known):
            raise ConfigurationError(f"pgBackRest has no backup {backup or 'at all'} of {self.stanza}")
        await asyncio.to_thread(self._make_room, into)
        await self._run(plan.restore_arguments(backup, target, str(into)), BACKUP_LIMIT_S)
        start = plan.start_of(await asyncio.to_thread((into / "backup_label").read_text))
        return next(each for each in known if each.start == start)

    def _make_room(self, into: Path) -> None:
        if into.exists() and any(into.iterdir()):
            raise ConfigurationError(f"{into} is not empty", hint="Name a directory that is empty or not there yet.")
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity.own(self.run_as, [into])

    @property
    def _hint(self) -> str:
        return _HINT.format(stanza=self.stanza)

    async def _run(self, arguments: list[str], limit_s: float) -> bytes:
        """What the program printed.

        Raises:
            BackupError: it failed, or did not end within `limit_s` seconds and was ended.
        """
        line = [self.program, f"--config={self.config}", f"--stanza={self.stanza}", "--log-level-console=warn"]
        command, options = identity.command(self.run_as, [*line, *arguments])
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, **options)
        try:
            async with asyncio.timeout(limit_s):
                printed, said = await program.communicate()
        except TimeoutError:
            raise BackupError(f"pgBackRest did not end within {limit_s:,.0f} s", hint=self._hint) from None
        finally:
            if program.returncode is None:
                with suppress(ProcessLookupError):
                    program.terminate()
                await program.wait()
        if program.returncode:
            words = (said or printed).decode(errors="replace").strip()[-MAX_WORDS:]
            raise BackupError(f"pgBackRest ended with {program.returncode}: {words}", hint=self._hint)
        return printed
