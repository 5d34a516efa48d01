"""Which database a program means, and what is said of a DSN that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.client.dsn import default_directory, dsn_file, parse, resolve
from outlive.errors import ConfigurationError
from outlive.model.topology import Address

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OUTLIVE_DSN", "OUTLIVE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_part_of_a_dsn_is_read() -> None:
    """Hosts with ports of their own, percent-encoding, IPv6 and parameters."""
    dsn = parse("postgresql://ag%40ent:p%2Fw%3A@h1:5433,[::1]:7,h3/my%20db?sslmode=require&application_name=a%20b")
    assert dsn.hosts == (Address("h1", 5433), Address("::1", 7), Address("h3", 5432))
    assert (dsn.user, dsn.password, dsn.database) == ("ag@ent", "p/w:", "my db")
    assert dsn.parameters == (("sslmode", "require"), ("application_name", "a b"))


def test_a_user_without_a_password_has_none() -> None:
    """No password leaves the choice to PGPASSWORD and the password file."""
    assert parse("postgresql://agent@h/db").password is None
    assert parse("postgresql://agent:@h/db").password == ""


def test_hosts_may_stand_in_the_parameters() -> None:
    """libpq's `?host=` and `?port=`, sockets included."""
    assert parse("postgresql:///db?host=/tmp,h2&port=1,2").hosts == (Address("/tmp", 1), Address("h2", 2))
    assert parse("postgresql:///db?host=a,b&port=6000").hosts == (Address("a", 6000), Address("b", 6000))


def test_connect_timeout_is_ours() -> None:
    """libpq's connect_timeout bounds a connection attempt, and is not sent to the server."""
    dsn = parse("postgresql://h/db?connect_timeout=3")
    assert (dsn.connect_timeout_s, dsn.parameters) == (3.0, ())


def test_the_password_is_in_no_text_but_the_rendered_one() -> None:
    """`str` and `repr` of a DSN hide the password."""
    dsn = parse(f"postgresql://agent:{SECRET}@h/db")
    assert SECRET not in str(dsn) + repr(dsn) + dsn.driver_parameters()
    assert SECRET in dsn.render()


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        (f"host=h password={SECRET}", "does not start with postgresql://", "Write it as"),
        (f"mysql://u:{SECRET}@h/db", "does not start with postgresql://", "Write it as"),
        (f"postgresql://u:{SECRET}@/db", "names no host", "Write it as"),
        (f"postgresql://u:{SECRET}@h1,,h3/db", "names no host", "Write it as"),
        (f"postgresql://u:{SECRET}@h:0/db", "'0' is not a port", "1 to 65535"),
        (f"postgresql://u:{SECRET}@h:65536/db", "'65536' is not a port", "1 to 65535"),
        (f"postgresql://u:{SECRET}@h:54x/db", "'54x' is not a port", "1 to 65535"),
        (f"postgresql://u:{SECRET}@::1/db", "'::1' is not a host", "[::1]:5432"),
        (f"postgresql://u:{SECRET}@[::1/db", "'[::1' is not a host", "[::1]:5432"),
        (f"postgresql://u:{SECRET}@h,h:5432/db", "names h:5432 twice", "once"),
        (f"postgresql://u:{SECRET}@h/db?sslmod=require", "'sslmod'", "Did you mean 'sslmode'?"),
        (f"postgresql://u:{SECRET}@h/db?aplication_name=x", "'aplication_name'", "Did you mean 'application_name'?"),
        (f"postgresql://u:{SECRET}@h/db?sslmode=on", "sslmode can't be 'on'", "verify-full"),
        (f"postgresql://u:{SECRET}@h/db?sslmode", "not key=value", "?key=value"),
        (f"postgresql://u:{SECRET}@h/db?target_session_attrs=standby", "target_session_attrs", "read="),
        (f"postgresql://u:{SECRET}@h/db?synchronous_commit=off", "synchronous_commit", "durability="),
        (f"postgresql://u:{SECRET}@h/db?connect_timeout=soon", "connect_timeout can't be 'soon'", "seconds"),
        (f"postgresql://u:{SECRET}@h/db?sslrootcert=/no/such", "/no/such", "path of a file"),
        (f"postgresql://u:{SECRET}@h1,h2/db?host=a,b&port=1,2,3", "2 hosts and 3 ports", "one for each host"),
        (f"postgresql://u:{SECRET}@h/%ff", "database is not percent-encoded", "%XX"),
        (f"postgresql://u%00:{SECRET}@h/db", "user holds a zero byte", "%00"),
    ],
)
def test_a_wrong_dsn_names_the_wrong_part_and_the_way_out(text: str, named: str, hint: str) -> None:
    """Each error says what is wrong and what to write, and never holds the password."""
    with pytest.raises(ConfigurationError) as raised:
        parse(text)
    assert named in str(raised.value)
    assert hint in raised.value.hint
    assert SECRET not in str(raised.value) + raised.value.hint


def test_the_argument_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explicit DSN is what the program means."""
    monkeypatch.setenv("OUTLIVE_DSN", "postgresql://variable/db")
    assert resolve("postgresql://argument/db").hosts[0].host == "argument"
    assert resolve().hosts[0].host == "variable"


def test_the_local_cluster_that_is_up_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without argument and variable, the local cluster's own file counts."""
    monkeypatch.setenv("OUTLIVE_DIR", str(tmp_path / "cluster"))
    dsn_file(default_directory()).parent.mkdir()
    dsn_file(default_directory()).write_text("postgresql://local:1/db\n")
    assert resolve().hosts == (Address("local", 1),)


def test_no_dsn_anywhere_says_what_to_do(tmp_path: Path) -> None:
    """The error names the directory that was looked into, and three ways out."""
    with pytest.raises(ConfigurationError, match=str(tmp_path)) as raised:
        resolve()
    assert "OUTLIVE_DSN" in raised.value.hint
    assert "outlive up" in raised.value.hint


def test_an_error_in_a_found_dsn_names_where_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong DSN in the variable is said to be in the variable."""
    monkeypatch.setenv("OUTLIVE_DSN", "postgresql://h:x/db")
    with pytest.raises(ConfigurationError, match="the variable OUTLIVE_DSN: 'x' is not a port"):
        resolve()


def test_the_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OUTLIVE_DIR, else the state directory, else the one under the home."""
    assert default_directory() == tmp_path / ".local/state/outlive/local"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == Path("/state/outlive/local")
    monkeypatch.setenv("OUTLIVE_DIR", "/chosen")
    assert default_directory() == Path("/chosen")
