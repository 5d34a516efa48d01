"""A directory that several write into and remove from at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.object_storage import directory
from outlive.object_storage.directory import DirectoryStore


@pytest.mark.parametrize("create", [False, True])
async def test_a_folder_that_is_removed_under_a_put_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    """Whoever removes the last object of a folder removes the folder: what is just being put there arrives."""
    make, removed = directory._make_folders, list[Path]()

    def made_and_removed_once(folder: Path) -> list[Path]:
        made = make(folder)
        if not removed:
            removed.append(folder)
            folder.rmdir()
        return made

    monkeypatch.setattr(directory, "_make_folders", made_and_removed_once)
    store = DirectoryStore(tmp_path)
    await store.put("folder/object", b"x", create=create)
    assert removed == [tmp_path / "folder"]
    assert await store.get("folder/object") == b"x"


async def test_an_object_that_is_removed_as_soon_as_it_is_there_was_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its folder is gone before it is synced is no failure."""
    sync = directory._sync_folder

    def gone(folder: Path) -> None:
        if folder.name == "folder":
            (folder / "object").unlink()
            folder.rmdir()
        sync(folder)

    monkeypatch.setattr(directory, "_sync_folder", gone)
    store = DirectoryStore(tmp_path)
    await store.put("folder/object", b"x")
    assert await store.head("folder/object") is None


async def test_an_upload_that_ends_while_uploads_are_listed_is_none(tmp_path: Path) -> None:
    """It was there when names were read, and is gone when it is looked at: as a link that leads nowhere is."""
    store = DirectoryStore(tmp_path)
    await store.put("object", b"x")
    (tmp_path / directory.UPLOADS / "ended.0").symlink_to(tmp_path / "nowhere")
    (tmp_path / directory.UPLOADS / "left.0").touch()
    assert [upload.key for upload in await store.unfinished()] == ["left"]
