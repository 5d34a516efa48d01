"""`outlive backup`: takes backups and tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outlive.backup.layout import Kind
from outlive.backup.plan.source import Wanted
from outlive.cli.storage_options import DsnOption, KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, put, put_json

app = typer.Typer(help="Backups: take them, list them, check them, keep and remove them.", no_args_is_help=True)


@app.command()
def create(
    kind: Annotated[Kind, typer.Option("--type", help="What to take.")] = Kind.FULL,
    source: Annotated[
        Wanted | None,
        typer.Option("--from", help="Where from.", show_default="the policy's, else a fresh standby, else the primary"),
    ] = None,
    or_full: Annotated[
        bool, typer.Option("--or-full/--or-fail", help="Where no incremental one can be taken: a full one, or none.")
    ] = True,
    rate_limit: Annotated[
        float | None,
        typer.Option(help="MiB a second to read from the server at most.", min=0.1, show_default="the policy's"),
    ] = None,
    spread: Annotated[bool, typer.Option("--spread", help="Wait for a spread checkpoint, not a fast one.")] = False,
    database: Annotated[str | None, typer.Option(help="What a logical backup dumps.")] = None,
    postgres_bin: Annotated[Path | None, typer.Option(help="The directory of PostgreSQL's programs.")] = None,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    dsn: DsnOption = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Take a backup and store it, streamed: nothing of it is written to this machine's disk.

    It exists once its manifest is in the store. Where it fails, is interrupted or killed, there is none.

    \b
    Examples:
      outlive backup create --storage s3://backups/prod --key-file backup.key
      outlive backup create --type incremental --or-fail
      outlive backup create --type logical --database agents
    """
    from outlive.cli import backup_acts as acts
    from outlive.cli import backup_view as view
    from outlive.cli.storage import access_or_exit, place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    said = call_or_exit(lambda: acts.of_policy(policy, kind))
    reach = access_or_exit(dsn, directory, database or said.database)
    wish = call_or_exit(
        lambda: acts.request(
            where,
            postgres_bin,
            kind=kind,
            wanted=source or said.wanted,
            or_full=or_full,
            mib_per_s=rate_limit or said.mib_per_s,
            fast_checkpoint=not spread,
            database=database or said.database,
        )
    )
    manifest = await_or_exit(acts.create(where, reach, wish))
    put_json(view.as_json(manifest)) if json else put(view.taken(manifest))


@app.command(name="list")
def list_(
    storage: Storage = None,
    storage_options: OptionsFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """List the backups, oldest first, with what is unfinished or damaged.

    \b
    Examples:
      outlive backup list
      outlive backup list --storage s3://backups/prod --json
    """
    from outlive.cli import backup_acts as acts
    from outlive.cli import backup_view as view
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, None, directory, policy)
    catalog = await_or_exit(acts.catalog(where))
    put_json(view.catalog_json(catalog)) if json else put(view.catalog_text(catalog))


@app.command()
def show(
    backup: Annotated[str, typer.Argument(help="An ID, or `latest`.")] = "latest",
    storage: Storage = None,
    storage_options: OptionsFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Show all that is known of one backup: positions, sizes, rows, durations, notes, restore tests.

    \b
    Examples:
      outlive backup show
      outlive backup show 20261124T225000Z-full --json
    """
    from outlive.cli import backup_acts as acts
    from outlive.cli import backup_view as view
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, None, directory, policy)
    catalog = await_or_exit(acts.catalog(where))
    manifest = call_or_exit(lambda: catalog.find(backup))
    put_json(view.as_json(manifest, catalog)) if json else put(view.details(manifest, catalog))
