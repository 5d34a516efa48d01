"""Pure decisions of the backup room."""
