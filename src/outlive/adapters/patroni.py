"""Patroni's REST API as the source of the topology, where probes by SQL are not wanted.

    topology = patroni.topology({"h1": "http://h1:8008", "h2": "http://h2:8008", "h3": "http://h3:8008"})
    async with outlive.connect(dsn, topology=topology) as db: ...

A node is asked for its own state, which Patroni reads from PostgreSQL on the spot; a primary also for the members,
which tell the standbys that Patroni counts on. The API doesn't tell `synchronous_standby_names` itself, so a
transaction's first message can't compare it: what is known of it is as old as the last question.

Source: Patroni documentation, "Patroni REST API".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.client.source import Source, Watch
from outlive.errors import ConfigurationError, ControlPlaneError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role
from outlive.patroni.client import PatroniClient
from outlive.system import monotonic

DEFAULT_PORT = 8008
DEADLINE_S = 0.8
_SYNCHRONOUS = {"sync", "quorum"}
_COUNTED_ON = {"sync_standby", "quorum_standby"}


def topology(urls: Mapping[str, str] | None = None) -> Source:
    """What `outlive.connect(topology=)` takes. `urls` has each node's API by its host, or host and port, as the DSN
    names them; without it, the API is at port 8008 of each host.

    Raises:
        ConfigurationError: when the client is made, for a host that `urls` lacks.
    """

    def watch(address: Address) -> Watch:
        if urls is None:
            return PatroniWatch(address, f"http://{Address(address.host, DEFAULT_PORT)}")
        url = urls.get(str(address)) or urls.get(address.host)
        if url is None:
            raise ConfigurationError(f"no Patroni was named for {address}", hint="Give each host of the DSN its URL.")
        return PatroniWatch(address, url)

    return watch


class PatroniWatch:
    """Asks one node's Patroni."""

    refusal: str | None = None

    def __init__(self, address: Address, url: str) -> None:
        self.address = address
        self._client = PatroniClient(url, "", timeout_s=DEADLINE_S)
        self._visit = 0
        self._started: object = None

    async def observe(self) -> Observation | NodeSilence:
        """See `outlive.client.source.Watch`."""
        asked_at = monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S):
                state = await self._client.state()
                members = await self._client.cluster() if _takes_writes(state) else {}
        except TimeoutError:
            return NodeSilence(self.address, f"its Patroni did not answer within {DEADLINE_S:g} s", asked_at)
        except (ControlPlaneError, ValueError) as error:
            return NodeSilence(self.address, str(error), asked_at)
        if state.get("postmaster_start_time") != self._started:
            self._started = state.get("postmaster_start_time")
            self._visit += 1
        return to_observation(self.address, state, members, asked_at, self._visit)

    async def stop(self) -> None:
        """See `outlive.client.source.Watch`."""
        await self._client.close()


def to_observation(
    address: Address, state: Mapping[str, Any], members: Mapping[str, Any], asked_at: float, visit: int
) -> Observation | NodeSilence:
    """The facts in one answer to `GET /patroni`, and in a primary's to `GET /cluster`."""
    known = {"timeline", "xlog", "database_system_identifier"} <= state.keys()
    if state.get("state") != "running" or not known or not state["timeline"]:
        return NodeSilence(address, f"Patroni says that PostgreSQL is {state.get('state', 'unknown')}", asked_at)
    primary = _takes_writes(state)
    position = state["xlog"].get("location" if primary else "replayed_location")
    facts = NodeFacts(
        address=address,
        system_identifier=str(state["database_system_identifier"]),
        role=Role.PRIMARY if primary else Role.STANDBY,
        timeline=Timeline(int(state["timeline"])),
        lsn=Lsn(position or 0),
        replay_lag_s=0.0 if primary else None,
        observed_at=asked_at,
        replay_lag_bytes=0 if primary else None,
        name=state.get("patroni", {}).get("name"),
        region=state.get("tags", {}).get("region"),
    )
    return Observation(facts, _synchronous(state, members) if primary else None, visit)


def _takes_writes(state: Mapping[str, Any]) -> bool:
    return state.get("role") in {"primary", "master"}


def _synchronous(state: Mapping[str, Any], members: Mapping[str, Any]) -> Synchronous:
    """The standbys that Patroni counts on, and those that PostgreSQL waits for."""
    counted = [f'"{member["name"]}"' for member in members.get("members", ()) if member.get("role") in _COUNTED_ON]
    waited_for = tuple(
        sorted(
            row["application_name"]
            for row in state.get("replication", ())
            if row.get("sync_state") in _SYNCHRONOUS and row.get("state") == "streaming"
        )
    )
    return Synchronous(f"ANY 1 ({','.join(counted)})" if counted else "", waited_for, literal=False)
