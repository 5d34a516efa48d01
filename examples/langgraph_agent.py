"""A LangGraph agent whose threads and memories are kept on the cluster. A scripted model: no API key needed.

python examples/langgraph_agent.py "$OUTLIVE_DSN"
"""

import asyncio
import sys
from uuid import uuid4

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import migrate


async def main(dsn: str) -> None:
    """Two turns of one thread, the second in a graph that is compiled anew, as another process would."""
    model = GenericFakeChatModel(messages=iter([AIMessage("Booked 12A."), AIMessage("It is 12A.")]))

    async def answer(state: MessagesState) -> MessagesState:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    config: RunnableConfig = {"configurable": {"thread_id": f"trip-{uuid4()}"}}
    async with outlive.connect(dsn) as db:
        await migrate(db)
        for question in ("Book a window seat.", "Which one is it?"):
            graph = builder.compile(checkpointer=OutliveSaver(db))
            state = await graph.ainvoke({"messages": [HumanMessage(question)]}, config)
            print(state["messages"][-1].text)
        print(len([each async for each in graph.aget_state_history(config)]), "checkpoints kept")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
