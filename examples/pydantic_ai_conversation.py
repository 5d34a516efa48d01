"""A Pydantic AI agent whose conversation is kept on the cluster. A scripted model: no API key needed.

python examples/pydantic_ai_conversation.py "$OUTLIVE_DSN"
"""

import asyncio
import sys
from uuid import uuid4

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.models.test import TestModel

import outlive
from outlive.adapters.pydantic_ai import OutliveConversationStore
from outlive.stores import migrate


async def main(dsn: str) -> None:
    """Two runs in one conversation; the second one sees the first."""
    agent, name = Agent(TestModel(custom_output_text="Booked 12A.")), f"trip-{uuid4()}"
    async with outlive.connect(dsn) as db:
        await migrate(db)
        store = OutliveConversationStore(db)
        for question in ("Book a window seat.", "Which one is it?"):
            conversation = await store.load(name) or Conversation(conversation_id=name)
            result = await agent.run(question, conversation=conversation)
            await store.save(result)
            print(result.output)
        print(len(await store.load_entries(name) or []), "messages kept")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
