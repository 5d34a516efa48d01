"""A read that no old primary can answer: beside it, the same node commits nothing and has a standby confirm it.

Both begin after the call did. A node that gets the confirmation was the primary after the call began; so whatever
was acknowledged before the call was acknowledged by this node, and the read sees it. They travel side by side on
two connections: one round trip, and one wait for a standby.

The confirmation is as strong as that of a critical commit: a standby in force has flushed it.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from outlive.client import statement
from outlive.client.attempts import Attempts
from outlive.client.failures import AttemptError, diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import begin_message
from outlive.client.plan.retry import Phase
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.wire import CANCELLED
from outlive.model.deadline import Deadline
from outlive.model.freshness import Strong

T = TypeVar("T")

NOTHING = "SELECT pg_catalog.pg_logical_emit_message(true, 'outlive'::text, ''::text);COMMIT"
"""A commit that changes nothing and is replicated all the same."""


async def read(nodes: Nodes, attempts: Attempts, call: statement.Call[T], sql: str) -> T:
    """Run a read on the primary while it proves itself, again and again until both succeed within the budget."""
    while True:
        await attempts.next()
        wire = failure = proof = None
        try:
            primary = await nodes.synchronous_primary(attempts.deadline)
            proof = asyncio.create_task(_prove(nodes, primary, attempts.deadline))
            wire = await nodes.acquire(primary.address, attempts.deadline)
            wire.note(sql)
            statement.refuse_standby(wire)
            result = await statement.bounded(wire, call, attempts.deadline, Phase.READ)
            nodes.release(wire, None, Strong())
            answered, wire = wire, None
            await proof
        except Exception as error:
            failure = diagnose(error, Phase.CONNECT if wire is None else Phase.READ, wire)
            attempts.failed(error, failure, wire)
        except BaseException:
            attempts.abandoned(wire, CANCELLED)
            raise
        else:
            attempts.succeeded(answered)
            return result
        finally:
            if wire is not None:
                nodes.release(wire, failure)
            if proof is not None:
                proof.cancel()
                await asyncio.gather(proof, return_exceptions=True)


async def _prove(nodes: Nodes, primary: Primary, deadline: Deadline) -> None:
    """Have a standby confirm an empty commit of this node.

    Raises:
        AttemptError: it was not confirmed.
    """
    names = primary.synchronous.names if isinstance(primary.synchronous, InForce) else None
    message = f"{begin_message('on', primary.facts.timeline, names, None)};{NOTHING}"
    wire = failure = None
    try:
        wire = await nodes.acquire(primary.address, deadline)
        await statement.bounded(wire, lambda connection: connection.execute(message), deadline, Phase.BEGIN)
    except Exception as error:
        failure = diagnose(error, Phase.CONNECT if wire is None else Phase.BEGIN, wire)
        raise error if failure is None else AttemptError(failure) from error
    finally:
        if wire is not None:
            nodes.release(wire, failure)
