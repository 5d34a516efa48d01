"""Arguments as constants of SQL, for statements that the server has prepared and knows the parameters' types of.

Each constant is read by the parameter type's own input function, so what matters is that the text says exactly the
same as the driver's binary form. Where that is not beyond doubt (floats of four bytes, intervals, types of one's
own, nested arrays), there is no constant, and the caller sends the value the driver's way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from outlive.client.plan.begin import quoted


def literal(value: object, type_name: str) -> str | None:
    """The constant for `value` as a parameter of that type (the server's short name), None if there is none."""
    if value is None:
        return "NULL"
    text = _array(value, type_name[:-2]) if type_name.endswith("[]") else _scalar(value, type_name)
    return None if text is None or "\0" in text else quoted(text)


def _array(value: object, element: str) -> str | None:
    if not isinstance(value, list | tuple):
        return None
    texts = ["NULL" if inner is None else _element(_scalar(inner, element)) for inner in value]
    return None if None in texts else "{" + ",".join(text for text in texts if text is not None) + "}"


def _element(text: str | None) -> str | None:
    if text is None:
        return None
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _scalar(value: object, type_name: str) -> str | None:
    form = _FORMS.get(type_name)
    return None if form is None else form(value)


def _integer(value: object) -> str | None:
    return str(value) if type(value) is int else None


def _boolean(value: object) -> str | None:
    return ("true" if value else "false") if type(value) is bool else None


def _float(value: object) -> str | None:
    if type(value) is not float:
        return None
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _numeric(value: object) -> str | None:
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    return _integer(value)


def _text(value: object) -> str | None:
    return value if type(value) is str and (value.isascii() or is_encodable(value)) else None


def is_encodable(text: str) -> bool:
    """Whether there is no half of a surrogate pair in it, which UTF-8 has no place for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(value: object) -> str | None:
    return f"\\x{bytes(value).hex()}" if isinstance(value, bytes | bytearray | memoryview) else None


def _uuid(value: object) -> str | None:
    return str(value) if isinstance(value, UUID) else None


def _date(value: object) -> str | None:
    return value.isoformat() if type(value) is date else None


def _timestamp(value: object) -> str | None:
    return value.isoformat() if isinstance(value, datetime) and value.tzinfo is None else None


def _timestamptz(value: object) -> str | None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError:
        return None


_FORMS: dict[str, Callable[[object], str | None]] = {
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "bool": _boolean,
    "float8": _float,
    "numeric": _numeric,
    "text": _text,
    "varchar": _text,
    "json": _text,
    "jsonb": _text,
    "bytea": _bytes,
    "uuid": _uuid,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}
