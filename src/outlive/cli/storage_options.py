"""The options that name a store, its keys and a cluster: the same for every command about backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STORAGE, STORAGE_OPTIONS = "OUTLIVE_STORAGE", "OUTLIVE_STORAGE_OPTIONS"

Storage = Annotated[
    str | None,
    typer.Option("--storage", help="Where backups are: s3://, gs://, az:// or file:///.", show_default=f"${STORAGE}"),
]
OptionsFile = Annotated[
    Path | None,
    typer.Option(
        "--storage-options", help="JSON: endpoint, region, credentials_file ...", show_default=f"${STORAGE_OPTIONS}"
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="Keys that encrypt, one a line.", show_default="$OUTLIVE_BACKUP_KEY[_FILE]"),
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="outlive.yaml, for what is not said here.")]
DsnOption = Annotated[
    str | None,
    typer.Option("--dsn", help="The cluster; the role needs REPLICATION.", show_default="the local cluster"),
]
