"""Stands before an S3 server, passes requests on as they were signed, and hurts those that it is told to.

Nothing is made up by it but refusals: what it holds or cuts is a real request to a real store, and the store has got
exactly what the proxy says that it has.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LIMIT_S = 60.0
VERBS = ("GET", "HEAD", "PUT", "POST", "DELETE")
HOPS = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class At(Enum):
    """How far a request has got."""

    BEGUN = "the store has got nothing of it"
    WITHIN = "the store has got half of its body"
    STORED = "the store has answered, and nobody knows yet"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status instead of the store."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Pass it on after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection there, to both sides."""

    at: At


@dataclass(slots=True)
class Hold:
    """Keep it there: `held` says that one is kept, `heal` lets it go on; half of a body only if its sender lives."""

    at: At
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def keep(self) -> None:
        """Wait until released."""
        self.held.set()
        self.released.wait(LIMIT_S)


Fault = Refuse | Delay | Cut | Hold
Which = Callable[[str, str], bool]


class StoreProxy:
    """Runs in threads of its own. `hurt` counts the requests that a fault met."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.hurt = 0
        self._fault: tuple[Fault, Which] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        """The same as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def do(self, fault: Fault, which: Which = lambda _method, _path: True) -> None:
        """Hurt each request with this method and path from now on."""
        self.heal()
        self.hurt, self._fault = 0, (fault, which)

    def heal(self) -> None:
        """Hurt nothing any more, and let go what is held."""
        fault, self._fault = self._fault, None
        if fault is not None and isinstance(fault[0], Hold):
            fault[0].released.set()

    def fault(self, method: str, path: str) -> Fault | None:
        """What is to happen to a request."""
        if self._fault is None or not self._fault[1](method, path):
            return None
        self.hurt += 1
        return self._fault[0]


def _handler(proxy: StoreProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fault = proxy.fault(self.command, self.path)
            with suppress(ConnectionError):
                if isinstance(fault, Refuse):
                    self._refuse(fault)
                else:
                    _Request(self, body, fault).pass_on(proxy.upstream)

        def _refuse(self, fault: Refuse) -> None:
            text = f"<Error><Code>{fault.code}</Code><Message>as the test wants it</Message></Error>".encode()
            self.send_response_only(fault.status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text if self.command != "HEAD" else b"")

    for verb in VERBS:
        setattr(Handler, f"do_{verb}", Handler.carry)
    return Handler


class _CutError(ConnectionError):
    """The fault ended the connection."""


@dataclass(frozen=True, slots=True)
class _Request:
    client: BaseHTTPRequestHandler
    body: bytes
    fault: Fault | None

    def pass_on(self, upstream: str) -> None:
        """To the store, and its answer back."""
        if isinstance(self.fault, Delay):
            threading.Event().wait(self.fault.seconds)
        store = HTTPConnection(upstream, timeout=LIMIT_S)
        try:
            self._reach(At.BEGUN)
            self._send(store)
            answer = store.getresponse()
            content = answer.read()
            self._reach(At.STORED)
            self._answer(answer, content)
        except _CutError:
            with suppress(OSError):
                self.client.connection.shutdown(socket.SHUT_RDWR)
            self.client.close_connection = True
        finally:
            store.close()

    def _send(self, store: HTTPConnection) -> None:
        # The host is the one that was signed: this proxy's.
        store.putrequest(self.client.command, self.client.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.client.headers.items():
            store.putheader(name, value)
        store.endheaders()
        half = len(self.body) // 2
        store.send(self.body[:half])
        self._reach(At.WITHIN)
        store.send(self.body[half:])

    def _reach(self, at: At) -> None:
        match self.fault:
            case Cut(where) if where is at:
                raise _CutError
            case Hold() if self.fault.at is at:
                self.fault.keep()
                if at is At.WITHIN and self._sender_is_gone():
                    raise _CutError

    def _sender_is_gone(self) -> bool:
        try:
            return not len(self.client.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _answer(self, answer: HTTPResponse, content: bytes) -> None:
        self.client.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOPS:
                self.client.send_header(name, value)
        length = answer.getheader("content-length") if self.client.command == "HEAD" else str(len(content))
        self.client.send_header("content-length", length or "0")
        self.client.end_headers()
        self.client.wfile.write(content)
