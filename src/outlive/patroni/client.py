"""Patroni's REST API: what the cluster looks like to it, and the few things it can be asked to do.

Source: Patroni documentation, "Patroni REST API".
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from outlive.errors import ControlPlaneError

# The API is spoken over plain HTTP; reading the machine's certificates for every client would take 60 ms.
# Should a URL be https after all, this context trusts nobody and refuses it.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class PatroniClient:
    """One node's Patroni at `url` (`http://host:port`). Calls that change something need the password."""

    def __init__(self, url: str, password: str, *, timeout_s: float = 2.0) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, auth=("outlive", password), timeout=timeout_s, trust_env=False, verify=_NO_CERTIFICATES
        )

    async def cluster(self) -> dict[str, Any]:
        """`GET /cluster`: the members as the DCS knows them, at most one loop old.

        Raises:
            ControlPlaneError: Patroni did not answer.
        """
        return dict((await self._request("GET", "/cluster")).json())

    async def state(self) -> dict[str, Any]:
        """`GET /patroni`: this node's own state, whatever its role.

        Raises:
            ControlPlaneError: Patroni did not answer.
        """
        return dict((await self._request("GET", "/patroni", accept=range(200, 600))).json())

    async def config(self) -> dict[str, Any]:
        """`GET /config`: the dynamic configuration in force.

        Raises:
            ControlPlaneError: Patroni did not answer.
        """
        return dict((await self._request("GET", "/config")).json())

    async def wake(self) -> None:
        """Make Patroni's loop run now: a patch that changes nothing in the configuration does only that.

        Raises:
            ControlPlaneError: Patroni did not answer, or refused.
        """
        await self._request("PATCH", "/config", json={"outlive_wakes": None})

    async def switchover(self, leader: str, candidate: str | None, *, timeout_s: float) -> str:
        """Hand the lead over; returns Patroni's own sentence once it is done.

        Raises:
            ControlPlaneError: Patroni did not answer within `timeout_s` seconds, or refused.
        """
        body = {"leader": leader} | ({"candidate": candidate} if candidate else {})
        return (await self._request("POST", "/switchover", json=body, timeout_s=timeout_s)).text.strip()

    async def restart(self, *, timeout_s: float) -> str:
        """Restart this node's PostgreSQL; returns Patroni's own sentence once it is done.

        Raises:
            ControlPlaneError: Patroni did not answer within `timeout_s` seconds, or refused.
        """
        return (await self._request("POST", "/restart", json={}, timeout_s=timeout_s)).text.strip()

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        await self._http.aclose()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        timeout_s: float | None = None,
        accept: range = range(200, 300),
    ) -> httpx.Response:
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_s is None else httpx.Timeout(timeout_s)
        try:
            answer = await self._http.request(method, path, json=json, timeout=timeout)
        except httpx.HTTPError as error:
            raise ControlPlaneError(
                f"Patroni at {self.url} did not answer {method} {path}: {str(error) or type(error).__name__}",
                hint="`outlive status` and `outlive logs` show whether the node runs.",
            ) from error
        if answer.status_code not in accept:
            raise ControlPlaneError(f"Patroni at {self.url} refused {method} {path}: {answer.text.strip()[:300]}")
        return answer
