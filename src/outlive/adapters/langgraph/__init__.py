"""LangGraph's checkpoints and its store, kept where a failover can't lose them."""

from outlive.adapters.langgraph.saver import OutliveSaver
from outlive.adapters.langgraph.store import OutliveStore

__all__ = ["OutliveSaver", "OutliveStore"]
