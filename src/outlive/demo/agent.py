"""An agent: it takes a conversation, goes on where it was left, and takes the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outlive import system
from outlive.demo.ledger import Ledger
from outlive.demo.llm import SimulatedLlm
from outlive.demo.plan.script import Script, call_key, content_digest, turn_id
from outlive.errors import LeaseLostError, TransactionError, UnavailableError
from outlive.stores import AgentState, CallStatus, Conversation

IDLE_S = 0.2
"""How long an agent without work waits, on average, before it looks for some again."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One of several agents of a worker; `name` is its own among all that are alive."""

    name: str
    state: AgentState
    scripts: Mapping[str, Script]
    llm: SimulatedLlm
    ledger: Ledger
    lease_s: float
    tool_latency_s: float

    async def work(self) -> None:
        """Live conversations until all of them are complete, this agent's and everybody else's."""
        while await self._find_work():
            pass

    async def _find_work(self) -> bool:
        """Live one conversation if there is one to have; False when all are complete."""
        conversations = self.state.conversations
        try:
            conversation = await conversations.claim(self.scripts, worker=self.name, lease_s=self.lease_s)
            if conversation is not None:
                async with conversation.keep_alive():
                    await self._go_on(conversation, self.scripts[conversation.id])
            elif await conversations.count_open(self.scripts) == 0:
                return False
            else:
                # The rest is in other hands; if those die, it is free again when their lease is over.
                await self._idle()
        except (LeaseLostError, UnavailableError, TransactionError):
            # Nothing to mend here: whoever opens the conversation next goes on from what is committed.
            await self._idle()
        return True

    async def _idle(self) -> None:
        await asyncio.sleep(IDLE_S * system.chance.uniform(0.5, 1.5))

    async def _go_on(self, conversation: Conversation, script: Script) -> None:
        self._note_reloaded(conversation)
        for position in range(len(conversation.turns), len(script.messages)):
            match script.messages[position]["role"]:
                case "assistant":
                    await self._answer(conversation, script, position)
                case "tool":
                    await self._use_tool(conversation, script, position)
                case _:
                    await self._append(conversation, position, script.messages[position])
        await conversation.complete()
        self.ledger.completed(conversation.id)

    def _note_reloaded(self, conversation: Conversation) -> None:
        """A reload acknowledges too: what the former holder did not live to hear is kept all the same."""
        for turn in conversation.turns:
            self.ledger.acknowledged(conversation.id, turn.id, turn.position, content_digest(turn.content))
        for call in conversation.tool_calls.values():
            if call.status is CallStatus.FINISHED:
                self.ledger.finished(conversation.id, call.key, content_digest(call.result))

    async def _answer(self, conversation: Conversation, script: Script, position: int) -> None:
        """Pay for an answer and keep it: the turn is the record of the payment, and where it is there none is paid."""
        answer = await self.llm.answer(script, position)
        usage = answer.usage
        turn = await conversation.append(
            turn_id(position), "assistant", answer.message, tokens=usage.tokens, dollars=usage.dollars
        )
        self.ledger.acknowledged(conversation.id, turn.id, turn.position, content_digest(answer.message))

    async def _use_tool(self, conversation: Conversation, script: Script, position: int) -> None:
        result = await use_tool(conversation, script, position, self.ledger, self.tool_latency_s)
        # The kept result is what goes on, be it fresh or replayed.
        message = {**script.messages[position], "content": result}
        await self._append(conversation, position, message)

    async def _append(self, conversation: Conversation, position: int, message: Mapping[str, Any]) -> None:
        turn = await conversation.append(turn_id(position), message["role"], message)
        self.ledger.acknowledged(conversation.id, turn.id, turn.position, content_digest(message))


async def use_tool(conversation: Conversation, script: Script, position: int, ledger: Ledger, latency_s: float) -> Any:
    """Call the simulated tool that the turn at `position` answers; its result is what the transcript says."""
    request, key = script.requests[position], call_key(position)

    async def simulated_tool(_arguments: str) -> Any:
        ledger.executed(conversation.id, key)
        await asyncio.sleep(latency_s)
        return script.messages[position]["content"]

    result = await conversation.tool_call(key, simulated_tool, request.arguments, name=request.name)
    ledger.finished(conversation.id, key, content_digest(result))
    return result
