"""Signs a request as S3 wants it. Pure.

Source: AWS, "Signature Version 4 signing process".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

from outlive.object_storage.options import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"


def query_string(query: Mapping[str, str]) -> str:
    """The query in the order and the spelling that are signed."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def signed_headers(
    method: str, url: str, query: Mapping[str, str], body: bytes, headers: Mapping[str, str],
    credentials: Credentials, region: str, now: datetime,
) -> dict[str, str]:  # fmt: skip
    """The headers to send, those given among them; `now` is aware UTC."""
    parts, moment = urlsplit(url), f"{now:%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(body).hexdigest()
    all_headers = {
        **{name.lower(): value for name, value in headers.items()},
        "host": parts.netloc,
        "x-amz-date": moment,
        "x-amz-content-sha256": digest,
    }
    if credentials.session_token:
        all_headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(all_headers))
    lines = "".join(f"{name}:{all_headers[name].strip()}\n" for name in sorted(all_headers))
    canonical = "\n".join((method, parts.path or "/", query_string(query), lines, names, digest))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(_key(credentials, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, "
    return {**all_headers, "authorization": f"{authorization}Signature={signature}"}


def _key(credentials: Credentials, scope: str) -> bytes:
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
