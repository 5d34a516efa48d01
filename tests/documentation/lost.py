"""A cluster that is gone, with all of its directory, but for the store of its backups."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 400.0


@dataclass(frozen=True, slots=True)
class Lost:
    """What is left: the store's URL and the key."""

    storage: str
    key_file: Path


def lose_everything_but_the_bucket(place: Path) -> Lost:
    """Bring up a cluster, give it a conversation, back it up, archive, and destroy it."""
    lost = Lost(f"file://{place}/bucket", place / "kept-elsewhere.key")
    lost.key_file.write_text(base64.b64encode(os.urandom(32)).decode())
    environment = os.environ | {
        "OUTLIVE_DIR": str(place / "gone"),
        "OUTLIVE_STORAGE": lost.storage,
        "OUTLIVE_BACKUP_KEY_FILE": str(lost.key_file),
    }
    script = """
    outlive up --nodes 1 --storage "$OUTLIVE_STORAGE" --backup-key "$OUTLIVE_BACKUP_KEY_FILE"
    outlive migrate
    outlive backup create
    outlive psql -- -c "insert into outlive.conversations (id) values ('written-after-the-backup')"
    outlive psql --superuser -- -c "select pg_switch_wal()"
    outlive down
    """
    try:
        subprocess.run(["bash", "-euc", script], check=True, env=environment, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run(["outlive", "down", "--destroy", "--yes"], check=False, env=environment, timeout=LIMIT_S)
    return lost
