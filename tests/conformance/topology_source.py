"""What every topology source has to tell of a cluster, whatever it asks: one suite for all of them."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from integration.client.waiting import until, waited
from outlive.client.plan.synchronous import InForce, judge
from outlive.client.plan.topology import Observation
from outlive.client.source import Source, Watch
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role

LIMIT_S = 180.0


class Subject(ABC):
    """A cluster of three with a way to watch it, and what the suite does to it."""

    source: Source
    addresses: tuple[Address, ...]

    @abstractmethod
    async def write(self) -> None:
        """Commit something, confirmed by a standby."""

    @abstractmethod
    async def switch_over(self) -> None:
        """Make another node the primary."""

    @abstractmethod
    async def freeze(self, address: Address) -> Callable[[], None]:
        """Stop a node from answering; returns the call that lets it go on."""


class Watching:
    """The watches over every node of a subject."""

    def __init__(self, subject: Subject) -> None:
        self.watches: dict[Address, Watch] = {address: subject.source(address) for address in subject.addresses}

    async def __aenter__(self) -> Watching:
        return self

    async def __aexit__(self, *_: object) -> None:
        for watch in self.watches.values():
            await watch.stop()
            await watch.stop()

    async def ask(self) -> list[Observation | NodeSilence]:
        """One answer of each."""
        return list(await asyncio.gather(*(watch.observe() for watch in self.watches.values())))

    async def facts(self) -> list[NodeFacts]:
        """What those who answered are."""
        return [news.facts for news in await self.ask() if isinstance(news, Observation)]

    async def everyone(self) -> list[Observation]:
        """What each node said, once all of them answer: on a busy machine one may miss the watch's deadline."""
        heard: list[Observation] = []

        async def all_answer() -> bool:
            heard[:] = [news for news in await self.ask() if isinstance(news, Observation)]
            return len(heard) == len(self.watches)

        await until(all_answer, LIMIT_S)
        return heard

    async def is_settled(self) -> bool:
        """Whether all of them answer, from one timeline."""
        facts = await self.facts()
        return len(facts) == len(self.watches) and len({node.timeline for node in facts}) == 1

    async def primary(self) -> Observation:
        """The one node out of recovery."""
        [found] = [news for news in await self.everyone() if news.facts.role is Role.PRIMARY]
        return found


class TopologySourceConformance:
    """Inherited by a test class that has a fixture `subject`."""

    async def test_one_primary_and_its_standbys(self, subject: Subject) -> None:
        """Every node answers with its role, on one timeline of one cluster, at the address it was asked at."""
        async with Watching(subject) as watching:
            await until(watching.is_settled, LIMIT_S)
            facts = [news.facts for news in await watching.everyone()]
        assert sorted(node.role.value for node in facts) == ["primary", "standby", "standby"]
        assert len({(node.system_identifier, node.timeline) for node in facts}) == 1
        assert [node.address for node in facts] == list(subject.addresses)

    async def test_standbys_in_force_are_known(self, subject: Subject) -> None:
        """The primary tells which standbys confirm its commits."""
        async with Watching(subject) as watching:

            async def confirmed() -> bool:
                primary = await watching.primary()
                assert primary.synchronous is not None
                return isinstance(judge(primary.synchronous), InForce)

            await until(confirmed, LIMIT_S)

    async def test_positions_follow_what_is_written(self, subject: Subject) -> None:
        """The primary's position lies at or beyond each commit before, and the standbys come to it."""
        async with Watching(subject) as watching:
            before = await watching.primary()
            await subject.write()
            after = await watching.primary()
            assert after.facts.lsn > before.facts.lsn

            async def everywhere() -> bool:
                facts = await watching.facts()
                return len(facts) == 3 and all(node.lsn >= after.facts.lsn for node in facts)

            await until(everywhere, LIMIT_S)

    async def test_the_moment_is_when_it_was_asked(self, subject: Subject) -> None:
        """Facts are dated no later than the question, so that they are never taken for newer than they are."""
        async with Watching(subject) as watching:
            await watching.everyone()
            for watch in watching.watches.values():
                before = time.monotonic()
                asking = asyncio.create_task(watch.observe())
                await asyncio.sleep(0)
                asked_at = time.monotonic()  # no answer can have come yet
                news = await asking
                dated = news.facts.observed_at if isinstance(news, Observation) else news.observed_at
                assert before <= dated <= asked_at

    async def test_a_node_that_does_not_answer_is_silent_in_time(self, subject: Subject) -> None:
        """Within a second or so a frozen node is told from a slow one, and is heard again once it goes on."""
        async with Watching(subject) as watching:
            heard = await watching.everyone()
            standby = next(news.facts.address for news in heard if news.facts.role is Role.STANDBY)
            thaw = await subject.freeze(standby)
            try:
                async with waited() as told:
                    news = await watching.watches[standby].observe()
            finally:
                thaw()
            assert isinstance(news, NodeSilence)
            assert news.reason
            assert told.seconds < 2.0

            async def heard_again() -> bool:
                return len(await watching.facts()) == 3

            await until(heard_again, LIMIT_S)

    async def test_a_switchover_raises_the_timeline(self, subject: Subject) -> None:
        """Another node is the primary, on a higher timeline, and the old one comes back as its standby."""
        async with Watching(subject) as watching:
            before = await watching.primary()
            await subject.switch_over()
            await until(watching.is_settled, LIMIT_S)
            after = await watching.primary()
            assert after.facts.timeline > before.facts.timeline
            assert after.facts.address != before.facts.address
