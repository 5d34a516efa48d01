"""The stores' fixtures, for the frameworks that write to them."""

from __future__ import annotations

from integration.stores.conftest import database, database_name, db, state, superuser_dsn

__all__ = ["database", "database_name", "db", "state", "superuser_dsn"]
