"""Restore tests: a backup is restored, asked, and what came of it is kept as evidence."""
