"""The same client for programs without asyncio: one event loop in a thread, and the calls of `Cluster` through it.

    with outlive.sync.connect("postgresql://app@h1,h2,h3/agents") as db:
        rows = db.fetch("select * from turns")
        for tx in db.transaction():
            with tx:
                tx.execute("insert into turns values ($1)", turn)

Nothing is decided here: each call runs the asynchronous one on the loop and waits for it. May be used from many
threads at once. A forked process has to make a client of its own.
"""

from outlive.sync.caller import Caller, lent
from outlive.sync.cluster import SyncCluster, connect
from outlive.sync.faces import Limit, Seen, iterated, like, on_loop, through
from outlive.sync.portal import Block, Face, Portal, under_way
from outlive.sync.transactions import SyncTransaction, SyncWriter

__all__ = [
    "Block",
    "Caller",
    "Face",
    "Limit",
    "Portal",
    "Seen",
    "SyncCluster",
    "SyncTransaction",
    "SyncWriter",
    "connect",
    "iterated",
    "lent",
    "like",
    "on_loop",
    "through",
    "under_way",
]
