"""The fake source is held to what the real ones are held to."""

from __future__ import annotations

import pytest

from conformance.fake_topology import FakeCluster
from conformance.topology_source import Subject, TopologySourceConformance
from outlive.model.topology import Address


class TestFakeTopology(TopologySourceConformance):
    """The cluster in memory."""

    @pytest.fixture
    def subject(self) -> Subject:
        """Three nodes that exist nowhere."""
        return FakeCluster(tuple(Address("h", port) for port in (1, 2, 3)))
