"""Cluster spec -> the command line of a node's etcd member.

Source: etcd documentation, "Configuration options".
"""

from __future__ import annotations

from outlive.cluster.spec import ClusterSpec, NodeSpec


def arguments(spec: ClusterSpec, node: NodeSpec, *, home: str) -> tuple[str, ...]:
    """The whole command of one etcd member, whose files live under the directory `home`."""
    client, peer = f"http://{node.host}:{node.ports.etcd_client}", _peer_url(node)
    members = ",".join(f"{member.name}={_peer_url(member)}" for member in spec.nodes)
    return (
        f"{spec.etcd_bin}/etcd",
        f"--name={node.name}",
        f"--data-dir={home}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={members}",
        f"--initial-cluster-token={spec.scope}",
        "--initial-cluster-state=new",
        # Patroni's history is worth nothing after a few minutes, and etcd's default quota is 2 GB.
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--logger=zap",
        "--log-level=warn",
    )


def _peer_url(node: NodeSpec) -> str:
    return f"http://{node.host}:{node.ports.etcd_peer}"
