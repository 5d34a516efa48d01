"""`outlive backup prune`, `check` and `keep`: what stays in a store, and whether it is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from outlive.cli.storage_options import OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, put, put_json

BROKEN_EXIT = 9


def prune(
    days: Annotated[
        float | None, typer.Option(help="Keep every moment of so many days restorable.", show_default="the policy's")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Keep so many full backups anyway.", min=1, show_default="the policy's")
    ] = None,
    unfinished_hours: Annotated[
        float, typer.Option(help="What was begun and left longer ago is removed.", min=1.0)
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and why, and remove nothing.")] = False,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Remove backups and WAL that nothing needs any more, by whole chains.

    The newest chain, the newest verified one, and what is kept by name always stay, with the WAL that they need.

    \b
    Examples:
      outlive backup prune --dry-run --days 30
      outlive backup prune --policy outlive.yaml
    """
    from outlive.cli import retention_acts as acts
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, None, directory, policy)
    rules = call_or_exit(lambda: acts.rules(days, count, unfinished_hours, policy))
    pruning = await_or_exit(acts.prune(where, rules, dry_run=dry_run))
    put_json(acts.pruning_json(pruning, dry_run=dry_run)) if json else put(acts.pruning_text(pruning, dry_run=dry_run))


def check(
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte of every backup.")] = False,
    probe_lock: Annotated[
        bool, typer.Option("--probe-lock", help="Try whether Object Lock holds; leaves a small object for a minute.")
    ] = False,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Look whether everything is there that the manifests name, and what else lies there.

    Ends with 9 if a backup is broken, or the bucket doesn't lock as the policy says. The WAL archive has a command of
    its own, `outlive wal check`; that a backup can be restored only `outlive backup verify` proves.

    \b
    Examples:
      outlive backup check
      outlive backup check --deep --json
    """
    from outlive.cli import retention_acts as acts
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, None, directory, policy)
    checked, locks = await_or_exit(acts.check(where, policy, deep=deep, probe_lock=probe_lock))
    put_json(acts.checked_json(checked, locks)) if json else put(acts.checked_text(checked, locks))
    if not checked.whole or not locks.as_wanted:
        raise typer.Exit(BROKEN_EXIT)


def keep(
    name: Annotated[str, typer.Argument(help="What the keep is called.")],
    backup: Annotated[str, typer.Option(help="An ID, or `latest`.")] = "latest",
    reason: Annotated[str, typer.Option(help="Why; for whoever finds it later.")] = "",
    release: Annotated[bool, typer.Option("--release", help="End the keep of this name.")] = False,
    storage: Storage = None,
    storage_options: OptionsFile = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Keep a backup, with all that restoring it needs, until the keep is released.

    \b
    Examples:
      outlive backup keep before-audit --reason "case 7"
      outlive backup keep before-audit --release
    """
    from outlive.cli import retention_acts as acts
    from outlive.cli.storage import place_or_exit

    where = place_or_exit(storage, storage_options, None, directory, policy)
    if release:
        await_or_exit(acts.release(where, name))
        put_json({"released": name}) if json else put(f"{name} is released.")
        return
    made = await_or_exit(acts.keep(where, name, backup, reason))
    put_json({"name": made.name, "backup": made.backup}) if json else put(f"{made.backup} is kept by {made.name}.")
