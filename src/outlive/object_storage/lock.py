"""Finds out whether S3's Object Lock holds, by trying: a locked object is put there, and its removal attempted.

That a store took the header proves nothing: some take it and remove the object all the same.
Source: Amazon S3, "Locking objects with Object Lock".
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import timedelta
from enum import Enum
from urllib.parse import urlsplit

from outlive import system
from outlive.object_storage.options import StoreOptions
from outlive.object_storage.s3 import S3Calls, calls_of

PROBE_SECONDS = 60
FOLDER = "lock-probes"


class Locking(Enum):
    """What the attempt has shown."""

    HOLDS = "a locked object could not be removed"
    IGNORED = "the store takes locks, and removes a locked object all the same"
    REFUSED = "the store takes no locks: the bucket was made without Object Lock, or these credentials may not"
    NOT_S3 = "only S3 has Object Lock; ask the store's own console"
    NO_CREDENTIALS = "the credentials are not at hand here (an instance's role), so nothing was tried"


async def probe(url: str, options: StoreOptions) -> Locking:
    """Try it with an object that is locked for a minute (GOVERNANCE), and is left behind where the lock holds.

    Raises:
        ObjectStorageError: no answer came.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return Locking.NOT_S3
    calls = calls_of(parts.netloc, options)
    if calls is None:
        return Locking.NO_CREDENTIALS
    prefix = parts.path.strip("/")
    key = f"{prefix}/{FOLDER}/{secrets.token_hex(8)}".lstrip("/")
    return await _try(calls, key)


async def _try(calls: S3Calls, key: str) -> Locking:
    body = b"Outlive tries whether this can be removed while it is locked."
    until = system.now_utc() + timedelta(seconds=PROBE_SECONDS)
    headers = {
        "content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }
    put = await calls.ask("PUT", key, body=body, headers=headers)
    version = put.headers.get("x-amz-version-id")
    if not put.done or version is None:
        await calls.ask("DELETE", key)
        return Locking.REFUSED
    removed = await calls.ask("DELETE", key, {"versionId": version})
    still_there = await calls.ask("HEAD", key, {"versionId": version})
    return Locking.HOLDS if not removed.done and still_there.done else Locking.IGNORED
