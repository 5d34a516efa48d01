"""Decisions over a policy. Pure."""
