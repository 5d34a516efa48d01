"""Decisions of the stores. Pure."""
