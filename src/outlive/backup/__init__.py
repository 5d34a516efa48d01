"""Backups into an object store: taken, archived, restored, and proved by restoring them."""
