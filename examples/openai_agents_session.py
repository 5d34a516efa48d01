"""An agent of the OpenAI Agents SDK whose session is kept on the cluster. A scripted model: no API key needed.

python examples/openai_agents_session.py "$OUTLIVE_DSN"
"""

import asyncio
import sys
from uuid import uuid4

from agents import Agent, RunConfig, Runner
from agents.testing import ScriptedModel, assistant_message

import outlive
from outlive.adapters.openai_agents import OutliveSession
from outlive.stores import migrate


async def main(dsn: str) -> None:
    """Two runs in one session; the second one sees the first."""
    agent = Agent(name="clerk", model=ScriptedModel([[assistant_message("Booked 12A.")], [assistant_message("12A.")]]))
    async with outlive.connect(dsn) as db:
        await migrate(db)
        session = OutliveSession(db, f"trip-{uuid4()}")
        for question in ("Book a window seat.", "Which one is it?"):
            result = await Runner.run(agent, question, session=session, run_config=RunConfig(tracing_disabled=True))
            print(result.final_output)
        print(len(await session.get_items()), "items kept")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
