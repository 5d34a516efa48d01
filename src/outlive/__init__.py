"""The PostgreSQL that an AI agent can't lose its state in."""
