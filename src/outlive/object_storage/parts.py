"""How large the parts of an upload are. Pure.

S3 takes at most 10,000 parts of one object. Parts are as small as that allows, for memory, and not below 8 MiB, for
speed; `in_flight` keeps what is under way within `MEMORY_BYTES`. Above 64 MiB a part would cost more memory than a
backup may take, so that one object has at most 640 GiB in the store.
Source: Amazon S3, "Multipart upload limits".
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
PARTS_LIMIT = 10_000
SMALLEST_BYTES = 8 * MIB
UNKNOWN_SIZE_BYTES = 16 * MIB
LARGEST_BYTES = 64 * MIB
MEMORY_BYTES = 96 * MIB
MOST_IN_FLIGHT = 6
_SLACK = 1.5


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes of one part, and how many may be under way at a time."""

    part_bytes: int
    in_flight: int


def plan(expected_bytes: int | None) -> Parts:
    """Parts for an object of about this size, half as much again included."""
    if expected_bytes is None:
        part_bytes = UNKNOWN_SIZE_BYTES
    else:
        needed = int(expected_bytes * _SLACK) // PARTS_LIMIT + 1
        part_bytes = min(LARGEST_BYTES, max(SMALLEST_BYTES, -(-needed // MIB) * MIB))
    return Parts(part_bytes, max(1, min(MOST_IN_FLIGHT, MEMORY_BYTES // part_bytes)))
