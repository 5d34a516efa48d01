"""A driver's own connection to the primary, for what the client has no call for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from outlive.client.attempts import Attempts
from outlive.client.failures import diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.retry import Phase
from outlive.client.wire import CANCELLED, Wire


@asynccontextmanager
async def connection(nodes: Nodes, attempts: Attempts) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose session is reset afterwards; taking it is retried, nothing that is done on it."""
    wire = await _take(nodes, attempts)
    try:
        yield wire.connection
    except Exception:
        await wire.reset()
        raise
    except BaseException:
        wire.cut(CANCELLED)
        raise
    else:
        await wire.reset()
    finally:
        nodes.release(wire)


async def _take(nodes: Nodes, attempts: Attempts) -> Wire:
    while True:
        await attempts.next()
        try:
            primary = await nodes.primary(attempts.deadline)
            wire = await nodes.acquire(primary.address, attempts.deadline)
        except Exception as error:
            attempts.failed(error, diagnose(error, Phase.CONNECT, None), None)
        except BaseException:
            attempts.abandoned(None, CANCELLED)
            raise
        else:
            attempts.succeeded(wire)
            return wire
