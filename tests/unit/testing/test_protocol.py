"""What the fault proxy finds in the bytes that pass."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.testing.protocol import Exchange, Piece, is_commit

STARTUP = struct.pack("!ii", 17, 196608) + b"user\0app\0"


def message(kind: bytes, body: bytes) -> bytes:
    """A typed message."""
    return kind + struct.pack("!i", len(body) + 4) + body


SIMPLE = [message(b"Q", b"select 1\0"), message(b"Q", b"COMMIT\0"), message(b"X", b"")]
EXTENDED = [
    message(b"P", b"s1\0commit\0\0\0"),
    message(b"B", b"p1\0s1\0\0\0\0\0\0\0"),
    message(b"E", b"p1\0\0\0\0\0"),
    message(b"P", b"s1\0select 1\0\0\0"),
    message(b"B", b"p1\0s1\0\0\0\0\0\0\0"),
    message(b"E", b"p1\0\0\0\0\0"),
]


@pytest.mark.parametrize(
    "sql",
    [
        b"COMMIT",
        b"commit;",
        b" end work ; ",
        b"insert into t values (1); commit",
        b"/* x */ COMMIT -- y",
        b"commit and chain",
    ],
)
def test_a_commit_is_known_by_its_words(sql: bytes) -> None:
    """Every way to write a COMMIT is found."""
    assert is_commit(sql)


@pytest.mark.parametrize("sql", [b"", b"select 'commit'", b"commit prepared 'x'", b"rollback", b"select ending"])
def test_other_statements_are_no_commit(sql: bytes) -> None:
    """What only resembles one is left alone."""
    assert not is_commit(sql)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_commits_are_found_however_the_bytes_arrive(sizes: list[int]) -> None:
    """A simple and an extended COMMIT are found, and nothing else, and every byte passes in its order."""
    stream = b"".join([STARTUP, *SIMPLE, *EXTENDED])
    exchange, at = Exchange(), 0
    found: list[Piece] = []
    while at < len(stream):
        size = sizes[at % len(sizes)]
        found.extend(exchange.requests(stream[at : at + size]))
        at += size
    assert b"".join(piece.data for piece in found) == stream
    assert [piece.data for piece in found if piece.commit] == [SIMPLE[1], EXTENDED[2]]


def test_what_is_encrypted_passes_unread() -> None:
    """After the server has agreed to encrypt, bytes pass as they come."""
    exchange = Exchange()
    asked = struct.pack("!ii", 8, 80877103)
    assert [piece.data for piece in exchange.requests(asked)] == [asked]
    assert [piece.data for piece in exchange.answers(b"S")] == [b"S"]
    hello = b"\x16\x03\x01 not a message"
    assert [piece.data for piece in exchange.requests(hello)] == [hello]
    assert [piece.data for piece in exchange.answers(hello)] == [hello]


def test_a_refused_encryption_is_followed_by_the_startup() -> None:
    """The single byte of a refusal is passed on, and what follows is searched."""
    exchange = Exchange()
    list(exchange.requests(struct.pack("!ii", 8, 80877103)))
    committed = message(b"C", b"COMMIT\0")
    assert [piece.data for piece in exchange.answers(b"N" + committed)] == [b"N", committed]
    assert [piece.commit for piece in exchange.requests(STARTUP + SIMPLE[1])] == [False, True]
