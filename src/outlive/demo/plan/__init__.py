"""Decisions of the demo. Pure."""
