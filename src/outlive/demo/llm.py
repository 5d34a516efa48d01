"""A model that answers from a transcript: it takes its time, and somebody pays for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outlive.demo.ledger import Ledger
from outlive.demo.plan.price import Usage, usage
from outlive.demo.plan.script import Script, turn_id


@dataclass(frozen=True, slots=True)
class Answer:
    """A message of the assistant, and what it took."""

    message: Mapping[str, Any]
    usage: Usage


@dataclass(frozen=True, slots=True)
class SimulatedLlm:
    """Answers with what the transcript says next, after half to one and a half times `latency_s`.

    The same seed makes the same latencies, whatever the order in which conversations are lived. An answer is paid when
    it is asked for: a provider generates and charges it whether or not anybody lives to hear it.
    """

    seed: int
    latency_s: float
    ledger: Ledger

    async def answer(self, script: Script, position: int) -> Answer:
        """The assistant's message at `position`."""
        # Its own generator for each answer: reruns after a fault must not shift the chance of the others.
        chance = random.Random(f"{self.seed}/{script.conversation.partition('/')[2]}/{position}")  # noqa: S311
        taken = usage(script.messages, position)
        self.ledger.paid(script.conversation, turn_id(position), taken.dollars)
        await asyncio.sleep(self.latency_s * chance.uniform(0.5, 1.5))
        return Answer(script.messages[position], taken)
