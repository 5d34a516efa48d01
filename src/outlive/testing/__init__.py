"""For your own tests: a real cluster on this machine, and a wire to it, made to fail on purpose."""

from outlive.testing.local_cluster import LocalCluster
from outlive.testing.proxy import FaultProxy

__all__ = ["FaultProxy", "LocalCluster"]
