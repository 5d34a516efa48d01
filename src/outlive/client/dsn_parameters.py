"""What may stand behind the question mark of a DSN. A parameter that is not known here is refused, not passed on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from outlive.errors import ConfigurationError
from outlive.model import nearest

IDENTITY = frozenset({"host", "port", "user", "password", "dbname", "database"})
OWN = frozenset({"connect_timeout", "target_session_attrs"})
READ_HERE = IDENTITY | OWN
"""What the client reads itself; the rest goes on to the driver."""

_FILES = frozenset({"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"})
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_PRIMARY_ATTRS = frozenset({"any", "read-write", "primary"})
DRIVER = frozenset(
    {
        "passfile",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
    }
)
SETTINGS = frozenset(
    {
        "application_name",
        "options",
        "search_path",
        "timezone",
        "datestyle",
        "intervalstyle",
        "client_encoding",
        "client_min_messages",
        "statement_timeout",
        "lock_timeout",
        "transaction_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "default_transaction_isolation",
        "default_text_search_config",
        "extra_float_digits",
        "bytea_output",
        "work_mem",
        "maintenance_work_mem",
        "temp_buffers",
        "jit",
        "plan_cache_mode",
        "role",
        "row_security",
    }
)


def read(query: str) -> dict[str, str]:
    """What stands behind the question mark; every key is known or holds a dot, as extensions' settings do.

    Raises:
        ConfigurationError: a key or a value can't be, or a file that one names isn't there.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise wrong("the DSN's parameters are not key=value pairs", "Write them as ?key=value&key=value.") from None
    for key, _ in pairs:
        _check_key(key)
    parameters = dict(pairs)
    _check_value(parameters, "sslmode", _SSL_MODES, "")
    _check_files(parameters)
    _check_value(parameters, "target_session_attrs", _PRIMARY_ATTRS, "Each read chooses its node by `read=`.")
    return parameters


def _check_key(key: str) -> None:
    if key == "synchronous_commit":
        raise wrong("the DSN can't set 'synchronous_commit'", "Choose `durability=` for each transaction.")
    known = IDENTITY | DRIVER | OWN | SETTINGS
    if key in known or "." in key:
        return
    raise wrong(f"the DSN has an unknown parameter {key!r}", nearest.hint(key, known, "Remove it."))


def _check_value(parameters: Mapping[str, str], key: str, allowed: frozenset[str], hint: str) -> None:
    value = parameters.get(key)
    if value is not None and value not in allowed:
        raise wrong(f"{key} can't be {value!r}", hint or f"It is one of: {', '.join(sorted(allowed))}.")


def _check_files(parameters: Mapping[str, str]) -> None:
    for key in _FILES & parameters.keys():
        if not Path(parameters[key]).is_file():
            raise wrong(f"{key}: there is no file {parameters[key]}", "Give the path of a file that can be read.")


def connect_timeout_s(parameters: Mapping[str, str]) -> float | None:
    """Seconds to wait for a connection; None where nothing is said of it.

    Raises:
        ConfigurationError: it is not a whole number of them.
    """
    text = parameters.get("connect_timeout")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and int(text) > 0:
        return float(text)
    raise wrong(f"connect_timeout can't be {text!r}", "It is a whole number of seconds, 1 or more.")


def wrong(message: str, hint: str) -> ConfigurationError:
    """The error for a part of a DSN that can't be."""
    return ConfigurationError(message, hint=hint)
