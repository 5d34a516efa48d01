"""Which database a program means: the DSN, where it comes from, and what may stand in it.

    postgresql://user:password@host1:5432,host2:5433,[::1]/database?sslmode=require&application_name=agent

In order: the argument, the variable `OUTLIVE_DSN`, the file that the local cluster keeps while it is up.
No message ever holds the password: an error names the part that is wrong, never the whole DSN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

from outlive.client import dsn_parameters
from outlive.client.dsn_parameters import wrong
from outlive.errors import ConfigurationError
from outlive.model.topology import Address

DEFAULT_PORT = 5432
DSN_FILE = "client.dsn"
SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed DSN. `parameters` are what the driver and the server understand, in the order given."""

    hosts: tuple[Address, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    connect_timeout_s: float | None = None

    def __str__(self) -> str:
        return self._render(f":{_HIDDEN}" if self.password is not None else "")

    def render(self) -> str:
        """The DSN as text, password included: for a file of mode 0600, never for a message."""
        return self._render(f":{quote(self.password, safe='')}" if self.password is not None else "")

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The parameters that are settings of a session, not of the way to the server."""
        return tuple((key, value) for key, value in self.parameters if key not in dsn_parameters.DRIVER)

    def driver_parameters(self) -> str:
        """A DSN of nothing but the parameters, for the driver to read beside explicit host, user and password."""
        return f"postgresql:///?{urlencode(self.parameters)}" if self.parameters else "postgresql:///"

    def _render(self, password: str) -> str:
        login = f"{quote(self.user or '', safe='')}{password}@" if self.user or password else ""
        hosts = ",".join(_render_host(host) for host in self.hosts)
        query = [*self.parameters]
        if self.connect_timeout_s is not None:
            query.append(("connect_timeout", f"{self.connect_timeout_s:g}"))
        database = f"/{quote(self.database, safe='')}" if self.database is not None else ""
        return f"postgresql://{login}{hosts}{database}" + (f"?{urlencode(query)}" if query else "")


_HIDDEN = "***"


def default_directory() -> Path:
    """Where the local cluster lives: `$OUTLIVE_DIR`, else `outlive/local` in the user's state directory.

    Source: XDG Base Directory Specification, `$XDG_STATE_HOME`.
    """
    if chosen := os.environ.get("OUTLIVE_DIR"):
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "outlive" / "local"


def dsn_file(directory: Path) -> Path:
    """The file that holds the local cluster's DSN, one line, mode 0600, only while the cluster is up."""
    return directory / DSN_FILE


def resolve(dsn: str | None = None) -> Dsn:
    """The DSN that a program means, parsed.

    Raises:
        ConfigurationError: none was given and no local cluster is up, or the one found is wrong.
    """
    if dsn is not None:
        return parse(dsn)
    if (from_environment := os.environ.get("OUTLIVE_DSN")) is not None:
        return _parse_from(from_environment, "the variable OUTLIVE_DSN")
    path = dsn_file(default_directory())
    return _parse_from(_read(path), str(path))


def parse(text: str) -> Dsn:
    """Read a DSN in its URI form.

    Raises:
        ConfigurationError: it names the part that is wrong, and never holds the password.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme not in SCHEMES:
        raise wrong("the DSN does not start with postgresql://", "Write it as postgresql://user@host1,host2/database.")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, has_password, password = login.partition(":")
    given = dsn_parameters.read(query)
    identity = {key: value for key, value in given.items() if key in dsn_parameters.IDENTITY}
    return Dsn(
        hosts=_hosts(identity, hosts),
        user=identity.get("user") or _decoded(user, "user") or None,
        password=identity.get("password", _decoded(password, "password") if has_password else None),
        database=identity.get("dbname") or identity.get("database") or _decoded(path, "database") or None,
        parameters=tuple(
            (key, value) for key, value in given.items() if key not in dsn_parameters.IDENTITY | dsn_parameters.OWN
        ),
        connect_timeout_s=dsn_parameters.connect_timeout_s(given),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise wrong(
            f"no database was named, and no local cluster is up in {path.parent}",
            "Pass a DSN, set OUTLIVE_DSN, or start a local cluster with `outlive up`.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(
            f"{path} can't be read: {type(error).__name__}", "Pass a DSN, or run as the cluster's owner."
        ) from None


def _parse_from(text: str, source: str) -> Dsn:
    try:
        return parse(text)
    except ConfigurationError as error:
        raise wrong(f"{source}: {error}", error.hint) from None


def _hosts(identity: Mapping[str, str], authority: str) -> tuple[Address, ...]:
    """The hosts of the authority part, or of `?host=` and `?port=` as libpq takes them."""
    if "host" in identity:
        names = identity["host"].split(",")
        hosts = tuple(Address(name, port) for name, port in zip(names, _ports(identity, len(names)), strict=True))
    else:
        default = _ports(identity, 1)[0]
        hosts = tuple(_read_host(part, default) for part in authority.split(","))
    if any(not host.host for host in hosts):
        raise wrong("the DSN names no host", "Write it as postgresql://user@host1,host2/database.")
    _refuse_doubles(hosts)
    return hosts


def _ports(identity: Mapping[str, str], count: int) -> list[int]:
    given = [_port(part) for part in identity.get("port", str(DEFAULT_PORT)).split(",")]
    if len(given) == 1:
        return given * count
    if len(given) != count:
        raise wrong(f"the DSN names {count} hosts and {len(given)} ports", "Give one port, or one for each host.")
    return given


def _read_host(part: str, default_port: int) -> Address:
    if part.startswith("["):
        host, closed, port = part[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise wrong(f"{part!r} is not a host", "Write an IPv6 address as [::1]:5432.")
        port = port[1:]
    else:
        host, _, port = part.partition(":")
    if ":" in port:
        raise wrong(f"{part!r} is not a host and a port", "Write an IPv6 address as [::1]:5432.")
    return Address(_decoded(host, "host"), _port(port) if port else default_port)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise wrong(f"{text!r} is not a port", "A port is a number from 1 to 65535.")


def _refuse_doubles(hosts: tuple[Address, ...]) -> None:
    for position, host in enumerate(hosts):
        if host in hosts[:position]:
            raise wrong(f"the DSN names {host} twice", "Name each node once.")


def _render_host(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else quote(address.host, safe="")
    return f"{host}:{address.port}"


def _decoded(text: str, part: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise wrong(f"the DSN's {part} is not percent-encoded UTF-8", "Encode special characters as %XX.") from None
    if "\0" in decoded:
        raise wrong(f"the DSN's {part} holds a zero byte", "Remove %00.")
    return decoded
