"""Gives up the lead of a node whose every process is dead: reads the keys, decides, revokes, journals."""

from __future__ import annotations

from dataclasses import asdict
from typing import assert_never

from outlive.cluster.journal import Journal
from outlive.cluster.plan import lease
from outlive.errors import ControlPlaneError
from outlive.etcd.client import EtcdClient, KeyValue


async def settle(etcd: EtcdClient, prefix: str, node: str, journal: Journal, evidence: dict[str, object]) -> None:
    """Revoke the leader's lease if it is the dead Patroni's. When etcd doesn't answer, the lease runs out by itself.

    `prefix` is the cluster's path in etcd; `evidence` is what the supervisor saw dead.
    """
    try:
        leader, member = await etcd.get([f"{prefix}/leader", f"{prefix}/members/{node}"])
        decision = lease.decide(node, _key(leader), _key(member))
        match decision:
            case lease.Leave(reason):
                journal.record("lease-left", reason=reason, **evidence)
            case lease.Revoke(lease_id):
                existed = await etcd.revoke(lease_id)
                journal.record("lease-revoked", lease=lease_id, existed=existed, leader=_evidence(leader), **evidence)
            case _:
                assert_never(decision)
    except ControlPlaneError as error:
        journal.record("lease-left", reason=str(error), **evidence)


def _key(found: KeyValue | None) -> lease.Key | None:
    return None if found is None else lease.Key(found.value, found.lease)


def _evidence(found: KeyValue | None) -> dict[str, object] | None:
    return None if found is None else asdict(found)
