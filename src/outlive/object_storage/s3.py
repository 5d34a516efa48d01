"""What S3 tells beside its objects: unfinished uploads, and whether a lock holds. The driver has no calls for these."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from outlive import system
from outlive.errors import AccessRefusedError, ObjectStorageError
from outlive.object_storage.options import Credentials, StoreOptions
from outlive.object_storage.signature import query_string, signed_headers
from outlive.object_storage.store import UnfinishedUpload

PAGES_LIMIT = 100
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What S3 said: a status below 300 is yes."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def done(self) -> bool:
        """Whether it did what was asked."""
        return self.status < 300


@dataclass(frozen=True, slots=True)
class S3Calls:
    """Signed requests to one bucket."""

    bucket_url: str
    region: str
    credentials: Credentials
    timeout_s: float

    async def ask(
        self, method: str, key: str, query: Mapping[str, str] | None = None, *, body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send one request.

        Raises:
            ObjectStorageError: no answer came.
        """
        # Imported here: most commands never ask, and it takes a tenth of a second.
        import httpx

        url, query = f"{self.bucket_url}/{quote(key)}" if key else self.bucket_url, query or {}
        signed = signed_headers(
            method, url, query, body, headers or {}, self.credentials, self.region, system.now_utc()
        )
        try:
            async with httpx.AsyncClient(timeout=self.timeout_s) as client:
                target = f"{url}?{query_string(query)}" if query else url
                answer = await client.request(method, target, content=body, headers=signed)
        except httpx.HTTPError as error:
            raise ObjectStorageError(f"{self.bucket_url}: {str(error) or type(error).__name__}") from None
        return Answer(answer.status_code, answer.content, answer.headers)


class S3Housekeeping:
    """Unfinished uploads below a prefix of a bucket."""

    def __init__(self, calls: S3Calls, prefix: str) -> None:
        self.calls = calls
        self._prefix = f"{prefix}/" if prefix else ""

    @classmethod
    def of(cls, bucket: str, prefix: str, options: StoreOptions) -> S3Housekeeping | None:
        """For this bucket; None where the credentials are not at hand, as with an instance's role."""
        calls = calls_of(bucket, options)
        return None if calls is None else cls(calls, prefix)

    async def unfinished(self) -> Sequence[UnfinishedUpload]:
        """All of them, oldest key first."""
        found: list[UnfinishedUpload] = []
        marker: dict[str, str] = {}
        for _ in range(PAGES_LIMIT):
            answer = await self.calls.ask("GET", "", {"uploads": "", "prefix": self._prefix, **marker})
            page = parsed(answer, self.calls.bucket_url)
            found += [self._upload(entry) for entry in page.iterfind("{*}Upload")]
            if page.findtext("{*}IsTruncated") != "true":
                break
            marker = {
                "key-marker": page.findtext("{*}NextKeyMarker") or "",
                "upload-id-marker": page.findtext("{*}NextUploadIdMarker") or "",
            }
        return [upload for upload in found if upload.key]

    async def abandon(self, upload: UnfinishedUpload) -> None:
        """End one; one that is gone is as good as ended."""
        answer = await self.calls.ask("DELETE", self._prefix + upload.key, {"uploadId": upload.upload_id})
        if not answer.done and answer.status != HTTPStatus.NOT_FOUND:
            raise _refusal(answer, self.calls.bucket_url)

    def _upload(self, entry: Xml.Element) -> UnfinishedUpload:
        key = entry.findtext("{*}Key") or ""
        inside = key[len(self._prefix) :] if key.startswith(self._prefix) else ""
        said = entry.findtext("{*}Initiated")
        # One whose age is not told counts as new, so that nobody takes an upload under way for a forgotten one.
        started_at = datetime.fromisoformat(said).astimezone(UTC) if said else system.now_utc()
        return UnfinishedUpload(inside, entry.findtext("{*}UploadId") or "", started_at)


def calls_of(bucket: str, options: StoreOptions) -> S3Calls | None:
    """Signed requests to this bucket; None where the credentials are not at hand."""
    credentials = options.credentials or _from_environment()
    if credentials is None:
        return None
    region = options.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    endpoint = options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    path_style = options.path_style if options.path_style is not None else endpoint is not None
    scheme, _, host = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/").partition("://")
    url = f"{scheme}://{host}/{bucket}" if path_style else f"{scheme}://{bucket}.{host}"
    return S3Calls(url, region, credentials, options.timeout_s)


def _from_environment() -> Credentials | None:
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    return Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN")) if key_id and secret else None


def parsed(answer: Answer, where: str) -> Xml.Element:
    """What S3 said, as XML.

    Raises:
        AccessRefusedError: it refused.
        ObjectStorageError: it said no, or something else than XML.
    """
    if not answer.done:
        raise _refusal(answer, where)
    try:
        # The store that is trusted with the backups is trusted with a listing.
        return Xml.fromstring(answer.body)  # noqa: S314
    except Xml.ParseError as error:
        raise ObjectStorageError(f"{where}: its answer is not XML: {error}") from None


def _refusal(answer: Answer, where: str) -> ObjectStorageError:
    if answer.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return AccessRefusedError(f"{where}: the store refuses: it answered {answer.status}")
    return ObjectStorageError(f"{where}: it answered {answer.status}")
