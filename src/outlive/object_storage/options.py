"""How a store is reached: endpoint, credentials, patience."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from outlive.errors import ConfigurationError

T = TypeVar("T")

TIMEOUT_S = 60.0
RETRIES = 6


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair of S3; only the key's id is ever printed."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the URL doesn't say.

    Without `credentials` they come from the environment (AWS_*, GOOGLE_*, AZURE_*) or from the instance's role.
    `path_style` None means: yes where an endpoint is given. `timeout_s` bounds one request, `retries` how often a
    failed one is tried again; after `timeout_s` no new try begins. `checksums` sends a SHA-256 with what is written,
    which Amazon's S3 asks for where a bucket locks it.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    credentials: Credentials | None = None
    allow_http: bool = False
    timeout_s: float = TIMEOUT_S
    retries: int = RETRIES
    checksums: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The options' file."""

    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    allow_http: bool = False
    timeout_s: float = TIMEOUT_S
    retries: int = RETRIES
    checksums: bool = False
    credentials_file: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None


class _CredentialsFile(msgspec.Struct, forbid_unknown_fields=True):
    """The credentials' file."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def read_options(path: Path) -> StoreOptions:
    """Options from a JSON file; its credentials may lie in another one, which `credentials_file` names.

    Raises:
        ConfigurationError: a file can't be read, or says something that is no option.
    """
    said = _decode(path, _File)
    if said.timeout_s <= 0 or said.retries < 0:
        raise ConfigurationError(f"{path}: timeout_s must be above zero, and retries not below it")
    return StoreOptions(
        endpoint=said.endpoint, region=said.region, path_style=said.path_style, credentials=_credentials(path, said),
        allow_http=said.allow_http, timeout_s=said.timeout_s, retries=said.retries, checksums=said.checksums,
    )  # fmt: skip


def read_credentials(path: Path) -> Credentials:
    """Credentials from a JSON file.

    Raises:
        ConfigurationError: it can't be read, or lacks one of the two keys.
    """
    said = _decode(path, _CredentialsFile)
    return Credentials(said.access_key_id, said.secret_access_key, said.session_token)


def _credentials(path: Path, said: _File) -> Credentials | None:
    if said.credentials_file is not None:
        return read_credentials(path.parent / said.credentials_file)
    if said.access_key_id is None and said.secret_access_key is None:
        return None
    if said.access_key_id is None or said.secret_access_key is None:
        raise ConfigurationError(f"{path} has one of access_key_id and secret_access_key; it takes both")
    return Credentials(said.access_key_id, said.secret_access_key, said.session_token)


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        # The message names a field and a type, never a value.
        raise ConfigurationError(f"{path} is not what it should be: {error}") from None
