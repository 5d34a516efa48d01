"""Pure decisions of the cluster room."""
