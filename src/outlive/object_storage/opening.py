"""Opens the store that a URL names."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from outlive.errors import ConfigurationError
from outlive.object_storage.directory import DirectoryStore
from outlive.object_storage.options import StoreOptions
from outlive.object_storage.store import ObjectStore

if TYPE_CHECKING:
    from outlive.object_storage.cloud import Housekeeping

SCHEMES = ("s3", "gs", "az", "file", "memory")
CONNECT_TIMEOUT_S = 5.0
BACKOFF_LIMIT_S = 5.0


def open_store(url: str, options: StoreOptions | None = None) -> ObjectStore:
    """The store at `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix`, `file:///dir` or
    `memory://`. It isn't asked anything yet.

    Raises:
        ConfigurationError: the URL or an option is not one, or a part that this needs is not installed.
    """
    options = options or StoreOptions()
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"{_shown(url)!r} names no object store", hint=f"There are {', '.join(SCHEMES)}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{_shown(url)} holds more than a place",
            hint="Credentials belong into the environment or into the file of --storage-options.",
        )
    if parts.scheme == "file":
        return DirectoryStore(_directory(url, parts.netloc, unquote(parts.path)))
    _require_driver()
    return _cloud(url, parts.scheme, parts.netloc, parts.path.strip("/"), options)


def _shown(url: str) -> str:
    """The URL without what may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _directory(url: str, host: str, path: str) -> Path:
    if host not in ("", "localhost") or not path.startswith("/"):
        raise ConfigurationError(f"{url} names no directory of this machine", hint="Write file:///the/directory.")
    return Path(path)


def _require_driver() -> None:
    try:
        importlib.import_module("obstore")
    except ImportError as error:
        raise ConfigurationError(
            "the part that speaks with object stores is missing", hint="pip install 'outlive[backup]'"
        ) from error


def _cloud(url: str, scheme: str, bucket: str, prefix: str, options: StoreOptions) -> ObjectStore:
    # Imported here: a directory needs none of it.
    from obstore import store as drivers

    from outlive.object_storage.cloud import CloudStore
    from outlive.object_storage.failures import told

    if scheme == "memory":
        return CloudStore(url, drivers.MemoryStore(), options)
    if not bucket:
        raise ConfigurationError(f"{url} names no bucket", hint=f"Write {scheme}://bucket/prefix.")
    with told(url, "", options):
        if scheme == "s3":
            driver: Any = drivers.S3Store(bucket, prefix=prefix or None, **_s3(options), **_patience(options))
        else:
            driver = drivers.from_url(url, **_patience(options))
    return CloudStore(url, driver, options, _housekeeping(scheme, bucket, prefix, options))


def _s3(options: StoreOptions) -> dict[str, Any]:
    path_style = options.path_style if options.path_style is not None else options.endpoint is not None
    found = options.credentials
    wishes = {
        "endpoint": options.endpoint,
        "region": options.region or ("us-east-1" if options.endpoint else None),
        "virtual_hosted_style_request": not path_style,
        "access_key_id": found.access_key_id if found else None,
        "secret_access_key": found.secret_access_key if found else None,
        "session_token": found.session_token if found else None,
        "checksum_algorithm": "SHA256" if options.checksums else None,
    }
    return {name: value for name, value in wishes.items() if value is not None}


def _patience(options: StoreOptions) -> dict[str, Any]:
    return {
        "client_options": {
            "allow_http": options.allow_http,
            "timeout": timedelta(seconds=options.timeout_s),
            "connect_timeout": timedelta(seconds=min(options.timeout_s, CONNECT_TIMEOUT_S)),
        },
        "retry_config": {
            "max_retries": options.retries,
            "retry_timeout": timedelta(seconds=options.timeout_s),
            "backoff": {"max_backoff": timedelta(seconds=BACKOFF_LIMIT_S)},
        },
    }


def _housekeeping(scheme: str, bucket: str, prefix: str, options: StoreOptions) -> Housekeeping | None:
    if scheme != "s3":
        return None
    from outlive.object_storage.s3 import S3Housekeeping

    return S3Housekeeping.of(bucket, prefix, options)
