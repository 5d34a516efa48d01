"""Finds out whether S3's Object Lock is in force: by asking for the bucket's rule, and by trying.

The rule (a default retention) is what locks whatever is written. That a store took it proves nothing: some take it and
remove the object all the same. So a locked object can be put there, and its removal attempted.
Source: Amazon S3, "Locking objects with Object Lock", "GetObjectLockConfiguration".
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import urlsplit
from xml.etree import ElementTree as Xml

from outlive import system
from outlive.errors import ObjectStorageError
from outlive.object_storage.options import StoreOptions
from outlive.object_storage.s3 import S3Calls, calls_of, parsed

PROBE_SECONDS = 60
TRIES = 3
"""How often it is tried where the answer came only after the lock had ended."""
PROBE = "lock-probes/probe"


class Locking(Enum):
    """What the attempt has shown."""

    HOLDS = "a locked object could not be removed"
    IGNORED = "the store takes locks, and removes a locked object all the same"
    REFUSED = "the store takes no locks: the bucket was made without Object Lock, or these credentials may not"
    NOT_S3 = "only S3 has Object Lock; ask the store's own console"
    NO_CREDENTIALS = "the credentials are not at hand here (an instance's role), so nothing could be looked at"


@dataclass(frozen=True, slots=True)
class Rule:
    """A bucket's default retention; `days` 0: it takes locks, and puts none by itself."""

    mode: str
    days: int


DAYS_A_YEAR = 365


async def rule(url: str, options: StoreOptions) -> Rule | Locking:
    """The rule of the bucket, or why there is none.

    Raises:
        ObjectStorageError: no answer came, or one that is none.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return Locking.NOT_S3
    calls = calls_of(parts.netloc, options)
    if calls is None:
        return Locking.NO_CREDENTIALS
    answer = await calls.ask("GET", "", {"object-lock": ""})
    if not answer.done and b"NoSuchBucket" not in answer.body:
        return Locking.REFUSED
    return _rule(parsed(answer, calls.bucket_url))


def _rule(configuration: Xml.Element) -> Rule:
    retention = configuration.find("{*}Rule/{*}DefaultRetention")
    if retention is None:
        return Rule("none", 0)
    days, years = (int(retention.findtext(f"{{*}}{unit}") or 0) for unit in ("Days", "Years"))
    return Rule((retention.findtext("{*}Mode") or "").lower(), days or years * DAYS_A_YEAR)


def lacking(found: Rule | Locking, days: int, mode: str) -> str | None:
    """What a bucket's rule lacks of the one that is wanted."""
    if isinstance(found, Locking):
        return found.value
    if found.days < days:
        return f"the bucket locks what is written for {found.days} days, not for {days}"
    if mode == "compliance" and found.mode != mode:
        return f"the bucket's mode is {found.mode}: whoever has the right to can remove what is locked"
    return None


async def probe(url: str, options: StoreOptions, lock_s: float = PROBE_SECONDS) -> Locking:
    """Try it with an object that is locked for a minute (GOVERNANCE), and is left behind where the lock holds.

    It has one name. The next try takes it again while it is locked, and removes it when its lock has ended.

    Raises:
        ObjectStorageError: no answer came, or none before the lock had ended.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return Locking.NOT_S3
    calls = calls_of(parts.netloc, options)
    if calls is None:
        return Locking.NO_CREDENTIALS
    key = f"{parts.path.strip('/')}/{PROBE}".lstrip("/")
    for _ in range(TRIES):
        locked = await _left(calls, key, timedelta(seconds=lock_s / 2)) or await _put(calls, key, lock_s)
        if locked is None:
            return Locking.REFUSED
        removed = await calls.ask("DELETE", key, {"versionId": locked.version})
        answered_at = system.now_utc()
        still_there = await calls.ask("HEAD", key, {"versionId": locked.version})
        if not removed.done and still_there.done:
            return Locking.HOLDS
        if answered_at < locked.until:
            return Locking.IGNORED
    raise ObjectStorageError(
        f"{url} took longer to answer than an object was locked for, {TRIES} times", hint="Try it again later."
    )


@dataclass(frozen=True, slots=True)
class _Locked:
    """The version of an object that is locked, and until when: what is removed later than that proves nothing."""

    version: str
    until: datetime


async def _put(calls: S3Calls, key: str, lock_s: float) -> _Locked | None:
    """Write a locked object; None where there are no locks."""
    body = b"Outlive tries whether this can be removed while it is locked."
    # Whole seconds: rounded down, the shortest lock would be none.
    until = (system.now_utc() + timedelta(seconds=lock_s + 1)).replace(microsecond=0)
    headers = {
        "content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }
    put = await calls.ask("PUT", key, body=body, headers=headers)
    version = put.headers.get("x-amz-version-id")
    if put.done and version is not None:
        return _Locked(version, until)
    await calls.ask("DELETE", key)
    return None


async def _left(calls: S3Calls, key: str, at_least: timedelta) -> _Locked | None:
    """What an earlier try has left, if it stays locked for that long; what is locked no more is removed."""
    listed = await calls.ask("GET", "", {"versions": "", "prefix": key})
    if not listed.done:
        return None
    locked, now = None, system.now_utc()
    for found in parsed(listed, calls.bucket_url).iterfind("{*}Version"):
        version = found.findtext("{*}VersionId") or "null"
        until = await _locked_until(calls, key, version)
        if until is not None and until > now + at_least:
            locked = _Locked(version, until)
        elif until is None or until <= now:
            await calls.ask("DELETE", key, {"versionId": version})
    return locked


async def _locked_until(calls: S3Calls, key: str, version: str) -> datetime | None:
    """When its lock ends; None where the store doesn't tell."""
    said = (await calls.ask("HEAD", key, {"versionId": version})).headers.get("x-amz-object-lock-retain-until-date")
    try:
        return datetime.fromisoformat(said) if said else None
    except ValueError:
        return None
