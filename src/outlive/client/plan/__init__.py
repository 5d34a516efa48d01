"""Pure decisions of the client."""
