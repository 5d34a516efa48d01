"""Brings one conversation back as it was, beside the live one, through a server that is thrown away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec

from outlive.backup.plan.arrival import Arrival
from outlive.backup.plan.recovery import RecoveryPlan, Wish
from outlive.backup.plan.targets import TimeTarget
from outlive.backup.restoring.material import Material, Phases, Report
from outlive.backup.restoring.recovery import recovered
from outlive.backup.restoring.restore import chosen_tools, decided
from outlive.backup.restoring.scratch import scratch_workspace
from outlive.backup.restoring.server import PrivateServer
from outlive.client.cluster import Cluster
from outlive.errors import BackupError, ConfigurationError, NotFoundError
from outlive.stores.plan.transfer import SECTIONS, Packed, packed_lines
from outlive.stores.queries import queries
from outlive.stores.state import AgentState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A conversation of a database, and the moment as of which it is wanted back, as `new_id`."""

    conversation: str
    wish: Wish
    database: str
    new_id: str | None = None
    scratch: Path | None = None
    postgres_bin: Path | None = None

    @property
    def id(self) -> str:
        """What it is called when it is back."""
        target = self.wish.target
        at = target.at.astimezone(UTC) if isinstance(target, TimeTarget) else None
        return self.new_id or f"{self.conversation}@{at.isoformat() if at else 'restored'}"


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """The conversation's new id, how many turns it has, and what it took."""

    id: str
    turns: int
    plan: RecoveryPlan
    arrival: Arrival
    phases: Phases


async def bring_back(
    material: Material, lost: Lost, db: Cluster, report: Report = lambda _progress: None
) -> BroughtBack:
    """Restore to the moment on a server of its own, and import the conversation from there into `db`.

    Doing it again changes nothing. The live conversation is not touched.

    Raises:
        NotFoundError: there was no such conversation at that moment.
        BackupError: the moment can't be restored.
        KeyReusedError: there is another conversation of the new id.
    """
    plan, phases = decided(material, lost.wish), Phases()
    tools = chosen_tools(material, plan, lost.postgres_bin, report, scratch=True)
    async with (
        scratch_workspace(lost.scratch, tools.programs) as workspace,
        recovered(material, plan, workspace, tools, phases) as result,
    ):
        packed = await _packed(result.server, lost)
        await AgentState(db).conversations.import_(packed_lines(packed))
        return BroughtBack(lost.id, len(packed.turns), plan, result.arrival, phases)


async def _packed(server: PrivateServer, lost: Lost) -> Packed:
    try:
        connection = await server.connect(lost.database)
    except asyncpg.InvalidCatalogNameError:
        raise ConfigurationError(f"the backup holds no database {lost.database!r}") from None
    try:
        rows = await connection.fetch(queries("life")["export"], lost.conversation)
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError) as error:
        raise BackupError(
            f"the schema outlive was not there, or older, at that moment: {error}",
            hint="Restore the whole to a directory, run `outlive migrate` on it, and export the conversation there.",
        ) from error
    finally:
        await connection.close()
    if not rows:
        raise NotFoundError(f"there was no conversation {lost.conversation!r} then", hint="Choose another moment.")
    packed = Packed(0, {**msgspec.json.decode(rows[0]["body"]), "id": lost.id})
    for row in rows[1:]:
        packed.section(SECTIONS[row["kind"]]).append(msgspec.json.decode(row["body"]))
    return packed


def moment(at: datetime) -> Wish:
    """The wish for all that was committed at `at` or before; it is aware."""
    return Wish(target=TimeTarget(at))
