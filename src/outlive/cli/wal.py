"""`outlive wal`: what the archive of WAL holds, what is missing, and what would be lost now."""

from __future__ import annotations

from typing import Annotated

import typer

from outlive.cli.storage_options import KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, chosen_directory, put, put_json, say
from outlive.errors import BackupError

app = typer.Typer(
    help="The archive of WAL: how far it reaches, what is missing, what would be lost.", no_args_is_help=True
)


@app.command()
def status(
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Show the recoverable window, what the loss of every node would take now, and each node's archiver.

    All of it is told from the store and the archivers, nothing from PostgreSQL's statistics. Exits with 9 if anything
    is missing, fails, or is later than the objective: the policy's, else the cluster's.

    \b
    Examples:
      outlive wal status
      outlive wal status --storage s3://backups/prod --json
    """
    from outlive.cli import wal_acts as acts
    from outlive.cli import wal_view as view
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    promised = call_or_exit(lambda: acts.promises(policy))
    found = await_or_exit(acts.status(where, chosen_directory(directory), promised))
    put_json(view.status_json(found)) if json else put(view.status_text(found))
    if found.problems:
        raise typer.Exit(BackupError.exit_code)


@app.command()
def check(
    deep: Annotated[bool, typer.Option("--deep", help="Read every object back, and compare it with its name.")] = False,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Look for gaps in the archive, from the store alone: missing segments and histories, foreign objects.

    Exits with 9 if anything that recovery needs is missing or damaged.

    \b
    Examples:
      outlive wal check
      outlive wal check --deep --storage s3://backups/prod --key-file backup.key
    """
    from outlive.cli import wal_acts as acts
    from outlive.cli import wal_view as view
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    found = await_or_exit(acts.check(where, say, deep=deep))
    put_json(view.check_json(found)) if json else put(view.check_text(found))
    if not found.sound:
        raise typer.Exit(BackupError.exit_code)
