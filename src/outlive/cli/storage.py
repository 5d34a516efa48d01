"""Finds the store, its keys and the cluster that a command means.

The store is that of `--storage`, else of OUTLIVE_STORAGE, else what the local cluster archives to, else what the policy
names. A command takes both by `place_or_exit` and `access_or_exit`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlive.backup.codec import Codec
from outlive.backup.keys import KEY_FILE, Keyring, load_keyring
from outlive.cli.storage_options import STORAGE, STORAGE_OPTIONS
from outlive.cli.terminal import call_or_exit, chosen_directory
from outlive.client import dsn as dsns
from outlive.cluster import reach
from outlive.cluster.directory import ClusterDirectory
from outlive.errors import ConfigurationError
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import StoreOptions, read_options
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access, Login


class _Archive(msgspec.Struct):
    url: str
    options_file: str | None = None
    key_file: str | None = None
    encrypted: bool = False


class _Spec(msgspec.Struct):
    """The part of `cluster.json` that says where the cluster archives to."""

    archive: _Archive | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A store, how it is reached, and the keys."""

    url: str
    options: StoreOptions
    keyring: Keyring | None
    must_encrypt: bool = False

    @property
    def codec(self) -> Codec:
        """How to write there.

        Raises:
            ConfigurationError: the policy asks for encryption, and no key is at hand.
        """
        if self.must_encrypt and self.keyring is None:
            raise ConfigurationError(
                "the policy asks for encryption, and there is no key",
                hint=f"Name its file in the policy's `encryption`, by --key-file or {KEY_FILE}.",
            )
        return Codec(keyring=self.keyring)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[ObjectStore]:
        """The store, for as long as the context lasts."""
        store = open_store(self.url, self.options)
        try:
            yield store
        finally:
            await store.close()


def place(
    storage: str | None, options_file: Path | None, key_file: Path | None, directory: Path, policy: Path | None = None
) -> Place:
    """The store that is meant.

    Raises:
        ConfigurationError: none is named, or a file can't be read.
    """
    known = [each for each in (_archive(directory), _of_policy(policy)) if each is not None]
    url = storage or os.environ.get(STORAGE) or next((each.url for each in known), None)
    if url is None:
        raise ConfigurationError(
            "no store for backups is named", hint=f"Name it by --storage, {STORAGE} or the policy's `storage`."
        )
    # How a store is reached counts for that store alone.
    own = next((each for each in known if each.url == url), _Archive(url))
    options = options_file or _path(os.environ.get(STORAGE_OPTIONS)) or _path(own.options_file)
    keyring = load_keyring(key_file) or load_keyring(_path(own.key_file))
    must_encrypt = any(each.encrypted for each in known if each.url == url)
    return Place(url, read_options(options) if options else StoreOptions(), keyring, must_encrypt)


def access(dsn: str | None, directory: Path, database: str | None = None) -> Access:
    """How the cluster is reached: by the DSN, else as the local cluster's own.

    Raises:
        ConfigurationError: there is neither.
    """
    if dsn is None and ClusterDirectory(directory).exists():
        return reach.access(*ClusterDirectory(directory).load(), database)
    parsed = dsns.resolve(dsn)
    login = Login(parsed.user, parsed.password)
    return Access(parsed.hosts, login, login, database or parsed.database or "postgres", parsed.parameters)


def place_or_exit(
    storage: str | None, options_file: Path | None, key_file: Path | None, directory: Path | None, policy: Path | None
) -> Place:
    """The store that a command's options mean; without one, the command ends with the error's own exit code."""
    return call_or_exit(lambda: place(storage, options_file, key_file, chosen_directory(directory), policy))


def access_or_exit(dsn: str | None, directory: Path | None, database: str | None = None) -> Access:
    """The cluster that a command's options mean; without one, the command ends with the error's own exit code."""
    return call_or_exit(lambda: access(dsn, chosen_directory(directory), database))


def _archive(directory: Path) -> _Archive | None:
    file = ClusterDirectory(directory).spec_file
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Spec).archive
    except (OSError, msgspec.MsgspecError):
        return None


def _of_policy(file: Path | None) -> _Archive | None:
    """What the policy says; its files are relative to its own place."""
    if file is None:
        return None
    # Imported here: what reads a policy takes its time, and most commands are given none.
    from outlive.policy.load import load

    said = load(file).backup_policy
    key_file = said.encryption.key_file if said.encryption else None
    options, key = (str(file.parent / each) if each else None for each in (said.storage_options, key_file))
    return _Archive(said.full_backup.storage, options, key, encrypted=said.encryption is not None)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
