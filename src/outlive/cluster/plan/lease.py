"""Whether the leader's lease in etcd is the one that died with this node's Patroni.

Patroni's leader key and its member key hang on one lease, granted to one process and never handed on. When the key
names this node and both keys hang on the same lease, and no Patroni of this node lives, then that lease belongs to
the dead process: revoking it can take the lead from nobody alive, even if it happens late.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A key of etcd: its value and the lease that it hangs on, 0 for none."""

    value: str
    lease: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """Revoke this lease."""

    lease: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Touch nothing, and why."""

    reason: str


def decide(node: str, leader: Key | None, member: Key | None) -> Revoke | Leave:
    """What to do about the lease, from the cluster's leader key and the node's own member key."""
    if leader is None:
        return Leave("nobody holds the leader key")
    if leader.value != node:
        return Leave(f"{leader.value} holds the leader key")
    if leader.lease == 0:
        return Leave("the leader key hangs on no lease")
    if member is None:
        return Leave("the node's member key is gone, so the lease can't be told to be its own")
    if member.lease != leader.lease:
        return Leave("the leader key hangs on another lease than the node's member key")
    return Revoke(leader.lease)
