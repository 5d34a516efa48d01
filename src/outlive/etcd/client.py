"""The few calls of etcd's v3 API that the supervisor needs, over its JSON gateway.

Source: etcd documentation, "gRPC gateway".
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from outlive.errors import ControlPlaneError

# The API is spoken over plain HTTP; reading the machine's certificates for every client would take 60 ms.
# Should a URL be https after all, this context trusts nobody and refuses it.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key's value, the lease it hangs on (0 for none), and the revision of its last change."""

    value: str
    lease: int
    mod_revision: int


class EtcdClient:
    """Asks the endpoints (`http://host:port`) in order until one answers; each try is bounded by `timeout_s`."""

    def __init__(self, endpoints: Sequence[str], *, timeout_s: float = 1.0) -> None:
        self._endpoints = tuple(endpoints)
        self._http = httpx.AsyncClient(timeout=timeout_s, trust_env=False, verify=_NO_CERTIFICATES)

    async def get(self, keys: Sequence[str]) -> list[KeyValue | None]:
        """The keys' values in order, all read at one revision by a quorum; None where there is no such key.

        Raises:
            ControlPlaneError: no endpoint answered.
        """
        ranges = [{"request_range": {"key": _encode(key)}} for key in keys]
        answer = await self._post("/v3/kv/txn", {"success": ranges})
        return [_first(response["response_range"]) for response in answer["responses"]]

    async def revoke(self, lease: int) -> bool:
        """End a lease and delete every key that hangs on it. False: there was no such lease any more.

        Raises:
            ControlPlaneError: no endpoint answered.
        """
        answer = await self._post("/v3/lease/revoke", {"ID": str(lease)}, missing_ok=True)
        return bool(answer)

    async def healthy(self, endpoint: str) -> bool:
        """Whether this member answers and sees a quorum."""
        try:
            answer = await self._http.get(f"{endpoint}/health")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json().get("health") == "true"

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        await self._http.aclose()

    async def _post(self, path: str, body: dict[str, Any], *, missing_ok: bool = False) -> dict[str, Any]:
        failures = []
        for endpoint in self._endpoints:
            try:
                answer = await self._http.post(endpoint + path, json=body)
            except httpx.HTTPError as error:
                failures.append(f"{endpoint}: {str(error) or type(error).__name__}")
                continue
            if answer.status_code == 200:
                return dict(answer.json())
            if answer.status_code == 404 and missing_ok:
                return {}
            failures.append(f"{endpoint}: {answer.status_code} {answer.text[:200]}")
        raise ControlPlaneError(f"etcd did not answer {path}: {'; '.join(failures)}")


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _first(range_answer: dict[str, Any]) -> KeyValue | None:
    for kv in range_answer.get("kvs", ()):
        value = base64.b64decode(kv.get("value", "")).decode()
        return KeyValue(value, int(kv.get("lease", 0)), int(kv["mod_revision"]))
    return None
