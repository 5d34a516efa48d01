"""Whose lease may be revoked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.cluster.plan.lease import Key, Revoke, decide

NAMES = st.sampled_from(["n1", "n2", "n3"])
KEYS = st.none() | st.builds(Key, NAMES, st.integers(0, 3))


@given(NAMES, KEYS, KEYS)
def test_only_the_own_lease_is_revoked(node: str, leader: Key | None, member: Key | None) -> None:
    """A lease is revoked only if the leader key names this node and hangs on the same lease as its member key."""
    decision = decide(node, leader, member)
    if isinstance(decision, Revoke):
        assert leader is not None
        assert member is not None
        assert leader.value == node
        assert decision.lease == leader.lease == member.lease != 0


@given(NAMES, st.integers(1, 9))
def test_the_own_lease_is_revoked(node: str, lease: int) -> None:
    """The lease of a leader that is this node, under which its member key hangs too, is revoked."""
    assert decide(node, Key(node, lease), Key("{}", lease)) == Revoke(lease)
