"""Where keys come from."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from outlive.backup.keys import Keyring, load_keyring
from outlive.errors import ConfigurationError

ONE, TWO = b"1" * 32, b"2" * 32


def test_no_key_is_no_keyring() -> None:
    """Encryption is asked for by giving a key."""
    assert load_keyring(None, {}) is None


def test_keys_of_the_environment_and_of_files(tmp_path: Path) -> None:
    """In base64 or hex, several of them, the first one writing; a file that is named goes before the environment."""
    texts = [base64.b64encode(ONE).decode(), TWO.hex()]
    file = tmp_path / "key"
    file.write_text("# written 2026-11-24\n" + "\n".join(texts) + "\n")
    both = Keyring.of(ONE, TWO)
    assert load_keyring(None, {"OUTLIVE_BACKUP_KEY": ",".join(texts)}) == both
    assert load_keyring(None, {"OUTLIVE_BACKUP_KEY_FILE": str(file)}) == both
    assert load_keyring(file, {"OUTLIVE_BACKUP_KEY": TWO.hex()}) == both
    assert both.writing.secret == ONE


@pytest.mark.parametrize("text", ["short", "11" * 31, base64.b64encode(b"3" * 33).decode(), "not/base64!" * 4, " , "])
def test_what_is_no_key_is_refused(text: str) -> None:
    """And not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        load_keyring(None, {"OUTLIVE_BACKUP_KEY": text})
    assert text not in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """Rather than going on without encryption."""
    with pytest.raises(ConfigurationError, match="missing"):
        load_keyring(tmp_path / "missing", {})
