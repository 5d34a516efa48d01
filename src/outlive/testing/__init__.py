"""For your own tests: a real cluster on this machine, made to fail on purpose."""

from outlive.testing.local_cluster import LocalCluster

__all__ = ["LocalCluster"]
