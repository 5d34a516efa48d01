"""Takes backups: from the choice of the server to the manifest that makes them exist."""
