"""`outlive backup enable` and `disable`: whether, and where, a cluster on this machine archives its WAL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.terminal import Dir, Json, await_or_exit, call_or_exit, chosen_directory, put, put_json, say
from outlive.cluster import limits
from outlive.cluster.directory import ClusterDirectory

if TYPE_CHECKING:
    from outlive.cluster.archiving import ArchiveWish


def enable(
    storage: Annotated[str, typer.Option(help="Where to: s3://, gs://, az:// or file:///.")],
    storage_options: Annotated[
        Path | None, typer.Option(help="JSON: endpoint, region, credentials_file ...; copied into the cluster.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Key file that encrypts what is archived; copied into the cluster.")
    ] = None,
    objective: Annotated[
        float, typer.Option(help="Seconds of commits that the loss of every node may take.", min=1.0)
    ] = 5.0,
    directory: Dir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until every node does.")] = limits.UP_S,
    json: Json = False,
) -> None:
    """Archive the cluster's WAL from now on, finished segments and the one that is being written.

    Where archiving was off, PostgreSQL is restarted node by node, the primary last. Doing it again changes nothing.

    \b
    Examples:
      outlive backup enable --storage s3://backups/prod --storage-options s3.json --key-file backup.key
      outlive backup enable --storage file:///mnt/backups --objective 2
    """
    cluster = ClusterDirectory(chosen_directory(directory))
    wish = call_or_exit(lambda: archive_wish(storage, storage_options, key_file, objective))
    _change(cluster, wish, timeout, json=json)


def disable(
    directory: Dir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until every node does.")] = limits.UP_S,
    json: Json = False,
) -> None:
    """Archive no more. What is in the store stays there; from now on nothing can be restored to.

    PostgreSQL is restarted node by node, the primary last.

    \b
    Examples:
      outlive backup disable
    """
    _change(ClusterDirectory(chosen_directory(directory)), None, timeout, json=json)


def archive_wish(
    storage: str, options_file: Path | None, key_file: Path | None, objective_s: float = 5.0
) -> ArchiveWish:
    """What the options ask for.

    Raises:
        ConfigurationError: the key file holds no key.
    """
    from outlive.backup.keys import load_keyring
    from outlive.cluster.archiving import ArchiveWish

    load_keyring(key_file)
    key = key_file.read_bytes() if key_file else None
    return ArchiveWish(url=storage, options_file=options_file, key=key, objective_s=objective_s)


def _change(cluster: ClusterDirectory, wish: ArchiveWish | None, timeout_s: float, *, json: bool) -> None:
    from outlive.cluster import archiving

    changed = call_or_exit(lambda: archiving.write(cluster, wish))
    await_or_exit(archiving.apply(cluster, say, timeout_s=timeout_s))
    url = wish.url if wish else None
    if json:
        put_json({"archiving": url is not None, "storage": url, "changed": changed})
    else:
        put(f"archiving to {url}" if url else "not archiving")
