"""What the client tells of itself, to whoever listens: see `events` and `hooks`; each back end is a module."""
