from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outlive.backup.restoring.extraction import extract
from outlive.errors import BackupError, ChecksumMismatchError


def tar(*members: tuple[str, bytes | None], kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar of files, and of directories where there is no content."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind if content is not None else tarfile.DIRTYPE
            member.size = len(content or b"") if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            archive.addfile(member, io.BytesIO(content or b""))
    return made.getvalue()


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    """The content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [1000, 1 << 20])
async def test_what_comes_out_is_what_went_in(tmp_path: Path, size: int) -> None:
    """Files and directories are written as they come, whatever the size of the pieces."""
    told: list[int] = []
    content = bytes(range(256)) * 3000
    made = tar(("base", None), ("base/1", content), ("deep/er/2", b"two"))
    extracted = await extract(pieces(made, size), tmp_path, told.append)
    assert (tmp_path / "base/1").read_bytes() == content
    assert (tmp_path / "deep/er/2").read_bytes() == b"two"
    assert (extracted.files, extracted.size_bytes) == (2, len(content) + 3) == (2, sum(told))
    assert (tmp_path / "base/1").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "base/../../evil"])
async def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    """A member that would leave the directory is refused."""
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ChecksumMismatchError, match="outside of its directory"):
        await extract(pieces(tar((name, b"x")), 512), into, lambda _bytes: None)
    assert [path.name for path in tmp_path.rglob("*")] == ["into"]  # noqa: ASYNC240 - a handful of names


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
async def test_only_files_and_directories_are_made(tmp_path: Path, kind: bytes) -> None:
    """A link or a device is refused: what comes after it could be written through it."""
    with pytest.raises(ChecksumMismatchError, match="neither a file nor a directory"):
        await extract(pieces(tar(("link", b""), kind=kind), 512), tmp_path, lambda _bytes: None)


async def test_a_tar_that_ends_early_is_no_backup(tmp_path: Path) -> None:
    """What was cut short, or is empty, is told."""
    made = tar(("1", b"x" * 5000))
    with pytest.raises(ChecksumMismatchError):
        await extract(pieces(made[:3000], 512), tmp_path, lambda _bytes: None)
    with pytest.raises(ChecksumMismatchError):
        await extract(pieces(b"", 512), tmp_path, lambda _bytes: None)


async def test_a_failure_of_the_store_comes_through(tmp_path: Path) -> None:
    """An error while fetching ends the unpacking with that error."""

    async def failing() -> AsyncIterator[bytes]:
        yield tar(("1", b"x" * 5000))[:2000]
        raise BackupError("the store went away")

    with pytest.raises(BackupError, match="went away"):
        await extract(failing(), tmp_path, lambda _bytes: None)
