"""LangGraph's checkpoints and its store, kept where a failover can't lose them."""

from outlive.adapters.langgraph.saver import OutliveSaver

__all__ = ["OutliveSaver"]
