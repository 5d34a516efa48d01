"""Identifiers that sort by the moment they were made."""

from __future__ import annotations

from uuid import UUID


def uuid7(unix_ms: int, random_bits: int) -> UUID:
    """A version 7 UUID of `unix_ms` milliseconds since 1970 and 74 bits of chance.

    Source: RFC 9562, section 5.7.
    """
    rand_a = random_bits >> 62 & 0xFFF
    rand_b = random_bits & (1 << 62) - 1
    return UUID(int=(unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
