"""The restore test of a backup that another program keeps: put back by it, then asked as any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from outlive import system
from outlive.backup.engine import Engine, EngineBackup
from outlive.backup.plan import recovery_settings
from outlive.backup.plan.targets import Target
from outlive.backup.proving.examination import Findings, examine
from outlive.backup.restoring.material import Phases, Tools
from outlive.backup.restoring.recovery import AUTO_CONF, prepare
from outlive.backup.restoring.scratch import scratch_workspace
from outlive.backup.restoring.server import PrivateServer, RecoveryGaveUpError, private_server
from outlive.backup.restoring.workspace import Workspace
from outlive.errors import BackupError
from outlive.model.lsn import Timeline


@dataclass(frozen=True, slots=True)
class EngineTrial:
    """What to test: a backup, None for the newest that allows the target; and where. The engine's account is ours."""

    target: Target
    tools: Tools
    backup: str | None = None
    scratch: Path | None = None


@dataclass(slots=True)
class EngineVerdict:
    """What came of it. `verified` needs a row somewhere: an empty server proves nothing."""

    backup: EngineBackup | None = None
    phases: Phases = field(default_factory=Phases)
    findings: Findings = field(default_factory=Findings)

    @property
    def verified(self) -> bool:
        """Whether everything that was looked at is as it should be."""
        return self.backup is not None and not self.findings.complaints


async def run(engine: Engine, trial: EngineTrial) -> EngineVerdict:
    """Let the engine put the backup back, recover it on a server of its own, and ask.

    Raises:
        ConfigurationError: it could not be tested, which says nothing of the backup.
    """
    verdict = EngineVerdict()
    async with scratch_workspace(trial.scratch, trial.tools.programs) as workspace:
        try:
            await _restore_and_ask(engine, trial, workspace, verdict)
        except BackupError as error:
            verdict.findings.take(error.code, [str(error)])
    return verdict


async def _restore_and_ask(engine: Engine, trial: EngineTrial, workspace: Workspace, verdict: EngineVerdict) -> None:
    began = system.monotonic()
    verdict.backup = await engine.restore(trial.backup, trial.target, workspace.data)
    verdict.phases.fetch_s = system.monotonic() - began
    fetches = _restore_command((workspace.data / AUTO_CONF).read_text())
    settings = dict(await prepare(workspace, trial.tools))
    settings |= recovery_settings.recovery(trial.target, Timeline(1), fetches)
    settings["recovery_target_timeline"] = "latest"
    async with private_server(workspace, trial.tools.programs, trial.tools.major) as server:
        await _recover(server, settings, trial, verdict)
        began = system.monotonic()
        await examine(server, trial.tools, {}, verdict.findings)
        verdict.phases.check_s = system.monotonic() - began
    empty = verdict.findings.rows == 0
    verdict.findings.take("any_row", ["there is no row in any table"] if empty else [])


async def _recover(server: PrivateServer, settings: dict[str, str], trial: EngineTrial, verdict: EngineVerdict) -> None:
    began = system.monotonic()
    server.start(settings)
    try:
        await server.wait_until_ready(trial.tools.replay_limit_s, lambda: None)
    except RecoveryGaveUpError as error:
        raise BackupError(f"the restored server gave up: {error.failure.words}") from error
    verdict.phases.replay_s = system.monotonic() - began


def _restore_command(configuration: str) -> str:
    """What the engine set for fetching WAL.

    Raises:
        BackupError: it set nothing, so that nothing would be replayed.
    """
    for line in reversed(configuration.splitlines()):
        name, _, value = line.partition("=")
        if name.strip() == "restore_command":
            return value.strip()[1:-1].replace("''", "'")
    raise BackupError("the engine left no restore_command, so no WAL would be replayed")
