"""Defects planted on purpose: the self-test of the verifier. Each makes a good run a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from importlib.resources import files

from outlive.client.cluster import Cluster
from outlive.client.transaction import Transaction
from outlive.demo.agent import use_tool
from outlive.demo.ledger import Ledger
from outlive.demo.plan.script import Script
from outlive.errors import ConfigurationError
from outlive.stores import AgentState
from outlive.stores.queries import named_queries


class Defect(Enum):
    """What a bad database, or a bad worker, would do."""

    DROP = "drop"
    DOUBLE = "double"
    SWAP = "swap"
    ALTER = "alter"
    RERUN = "rerun"


_STATEMENTS = {
    Defect.DROP: ("drop",),
    Defect.DOUBLE: ("double_copy", "double_place"),
    Defect.SWAP: ("swap_aside", "swap_back"),
    Defect.ALTER: ("alter",),
    Defect.RERUN: ("forget_calls",),
}


async def plant(defect: Defect, db: Cluster, scripts: Sequence[Script], ledger: Ledger) -> str:
    """Do it to the first conversation that has what it takes; returns that conversation's id."""
    script = victim(defect, scripts)
    await db.run(_damage, defect, script.conversation)
    if defect is Defect.RERUN:
        conversation = await AgentState(db).conversations.open(script.conversation, worker="planted")
        for position in sorted(script.requests):
            await use_tool(conversation, script, position, ledger, latency_s=0.0)
        await conversation.complete()
    return script.conversation


def victim(defect: Defect, scripts: Sequence[Script]) -> Script:
    """The first conversation in which the defect can be planted.

    Raises:
        ConfigurationError: there is none.
    """
    for script in scripts:
        if len(script.messages) > 1 and (script.requests or defect is not Defect.RERUN):
            return script
    raise ConfigurationError(f"no conversation is long enough, or uses a tool, to plant {defect.value!r} in")


async def _damage(tx: Transaction, defect: Defect, conversation: str) -> None:
    statements = named_queries(files("outlive.demo").joinpath("defects.sql"))
    for name in _STATEMENTS[defect]:
        await tx.execute(statements[name], conversation)
