"""A Google ADK agent whose sessions are kept on the cluster. A scripted model: no API key needed.

python examples/google_adk_session.py "$OUTLIVE_DSN"
"""

import asyncio
import sys
from collections.abc import AsyncGenerator

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.genai.types import Content, Part

import outlive
from outlive.adapters.google_adk import OutliveSessionService
from outlive.stores import migrate


class Scripted(BaseLlm):
    """A model that tells how many contents it was sent."""

    async def generate_content_async(
        self,
        llm_request: LlmRequest,
        stream: bool = False,  # noqa: ARG002 - of the seam
    ) -> AsyncGenerator[LlmResponse, None]:
        """One answer."""
        text = f"Seen {len(llm_request.contents)}."
        yield LlmResponse(content=Content(role="model", parts=[Part(text=text)]))


async def main(dsn: str) -> None:
    """Two runs in one session; the second one sees the first."""
    agent = LlmAgent(name="clerk", model=Scripted(model="scripted"), output_key="user:answer")
    async with outlive.connect(dsn) as db:
        await migrate(db)
        service = OutliveSessionService(db)
        runner = Runner(agent=agent, app_name="trips", session_service=service)
        session = await service.create_session(app_name="trips", user_id="ada")
        for question in ("Book a window seat.", "Which one is it?"):
            message = Content(role="user", parts=[Part(text=question)])
            async for event in runner.run_async(user_id="ada", session_id=session.id, new_message=message):
                print(event.content.parts[0].text if event.content and event.content.parts else "")
        print(await service.get_user_state(app_name="trips", user_id="ada"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
