"""Turns obstore's exceptions into errors of ours: short, typed, and without what must not be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions as driver

from outlive.errors import (
    AccessRefusedError,
    ConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectStorageError,
    OutliveError,
)
from outlive.object_storage.options import StoreOptions

_ANSWER = re.compile(r"<Code>(?P<code>[^<]{1,80})</Code>(?:\s*<Message>(?P<message>[^<]{0,200})</Message>)?")
_STATUS = re.compile(r"status code: (?P<status>\d{3}[^:\n]{0,40})")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist")
# A listing's refusal comes without a type of its own.
_REFUSED = re.compile(r"status code: 40[13]\b")
_LENGTH_LIMIT = 300


@contextmanager
def told(url: str, key: str, options: StoreOptions) -> Iterator[None]:
    """Raise what the driver raises inside as an error of ours, about this object."""
    try:
        yield
    except (driver.BaseError, FileNotFoundError, ValueError) as error:
        raise _translate(error, f"{url}/{key}" if key else url, options) from None


def _translate(error: Exception, where: str, options: StoreOptions) -> OutliveError:
    text, reason = str(error), _reason(str(error), options)
    if _NO_BUCKET.search(text):
        return ConfigurationError(f"{where}: there is no such bucket", hint="Make the bucket, or mend the URL.")
    match error:
        case FileNotFoundError():
            return ObjectNotFoundError(f"{where} is not there")
        case driver.AlreadyExistsError() | driver.PreconditionError():
            return ObjectExistsError(f"{where} is there already")
        case driver.PermissionDeniedError() | driver.UnauthenticatedError():
            return AccessRefusedError(f"{where}: the store refuses: {reason}")
        case driver.UnknownConfigurationKeyError() | driver.InvalidPathError() | ValueError():
            return ConfigurationError(f"{where}: {reason}")
        case _ if _REFUSED.search(text):
            return AccessRefusedError(f"{where}: the store refuses: {reason}")
        case _:
            return ObjectStorageError(f"{where}: {reason}")


def _reason(text: str, options: StoreOptions) -> str:
    answer, status = _ANSWER.search(text), _STATUS.search(text)
    if answer:
        short = ": ".join(part for part in answer.groups() if part)
    elif status:
        short = f"it answered {status['status'].strip()}"
    else:
        short = " ".join(text.split("Debug source:")[0].split())
    return _without_secrets(short, options)[:_LENGTH_LIMIT]


def _without_secrets(text: str, options: StoreOptions) -> str:
    found = options.credentials
    for secret in (found.secret_access_key, found.session_token) if found else ():
        text = text.replace(secret, "***") if secret else text
    return text
