"""Parts of uploads: large enough for S3's limit, small enough for memory."""

from __future__ import annotations

import pytest

from outlive.object_storage.parts import LARGEST_BYTES, MEMORY_BYTES, PARTS_LIMIT, SMALLEST_BYTES, plan

GB = 10**9


@pytest.mark.parametrize("expected", [0, 1, 10**6, GB, 50 * GB, 400 * GB])
def test_parts_are_enough_with_half_as_much_again(expected: int) -> None:
    """An estimate may be wrong by that much."""
    parts = plan(expected)
    assert parts.part_bytes * PARTS_LIMIT >= expected * 1.5
    assert SMALLEST_BYTES <= parts.part_bytes <= LARGEST_BYTES


@pytest.mark.parametrize("expected", [None, 0, GB, 400 * GB, 5000 * GB])
def test_memory_is_bounded(expected: int | None) -> None:
    """Whatever is expected, and at least one part is under way."""
    parts = plan(expected)
    assert parts.in_flight >= 1
    assert parts.part_bytes * parts.in_flight <= MEMORY_BYTES
