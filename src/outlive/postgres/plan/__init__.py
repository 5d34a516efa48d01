"""Decisions about how PostgreSQL is run. Pure."""
