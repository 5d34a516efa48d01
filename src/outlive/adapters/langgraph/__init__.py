"""LangGraph's checkpoints and its store, kept where a failover can't lose them."""

from outlive.adapters.langgraph.importing import import_threads
from outlive.adapters.langgraph.saver import OutliveSaver
from outlive.adapters.langgraph.store import OutliveStore

__all__ = ["OutliveSaver", "OutliveStore", "import_threads"]
