"""Follows a tar as it streams by: counts its members, keeps one of them, and knows whether it came to its end.

Only what pg_basebackup writes: ustar headers with octal or base-256 sizes, no extended headers.
Source: POSIX.1-2008, pax (ustar); PostgreSQL src/port/tar.c.
"""

from __future__ import annotations

from outlive.errors import BackupError

BLOCK_BYTES = 512
KEPT_LIMIT_BYTES = 256 * 1024 * 1024


class TarFollower:
    """Takes the chunks of a tar in order. `kept` is the content of the member called `wanted`, once it went by."""

    def __init__(self, wanted: str, kept_limit_bytes: int = KEPT_LIMIT_BYTES) -> None:
        self.members = 0
        self.kept: bytearray | None = None
        self._wanted = wanted
        self._kept_limit_bytes = kept_limit_bytes
        self._header = bytearray()
        self._content_left = 0
        self._skip_left = 0
        self._keeping = False
        self._empty_blocks = 0

    @property
    def ended(self) -> bool:
        """Whether the two empty blocks at its end went by."""
        return self._empty_blocks > 1

    def take(self, chunk: bytes) -> None:
        """Follow some more of it.

        Raises:
            BackupError: it is no tar, or the wanted member is larger than it may be.
        """
        position, length = 0, len(chunk)
        while position < length:
            if self._content_left:
                step = min(self._content_left, length - position)
                if self._keeping and self.kept is not None:
                    self.kept += chunk[position : position + step]
                self._content_left -= step
            elif self._skip_left:
                step = min(self._skip_left, length - position)
                self._skip_left -= step
            else:
                step = min(BLOCK_BYTES - len(self._header), length - position)
                self._take_header(chunk[position : position + step])
            position += step

    def _take_header(self, part: bytes) -> None:
        self._header += part
        if len(self._header) < BLOCK_BYTES:
            return
        header, self._header = bytes(self._header), bytearray()
        if not any(header):
            self._empty_blocks += 1
            return
        if self.ended or header[257:262] != b"ustar":
            raise BackupError("pg_basebackup wrote something that is no tar")
        self._begin(header)

    def _begin(self, header: bytes) -> None:
        self.members += 1
        name, size = header[:100].rstrip(b"\0").decode(errors="replace"), _number(header[124:136])
        self._content_left, self._skip_left = size, -size % BLOCK_BYTES
        self._keeping = name == self._wanted
        if self._keeping:
            if size > self._kept_limit_bytes:
                raise BackupError(f"{name} has {size} bytes, more than can be kept in memory")
            self.kept = bytearray()


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)
