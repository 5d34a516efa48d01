"""The durability class of each store."""

from __future__ import annotations

from typing import Any

import pytest

from outlive.errors import ConfigurationError
from outlive.model.durability import Durability
from outlive.stores.classes import DEFAULT_CLASSES, resolve_classes


def test_without_a_word_every_store_has_its_default() -> None:
    """What can be recreated is regenerable, all else critical."""
    assert resolve_classes(None) == DEFAULT_CLASSES
    regenerable = {store for store, chosen in DEFAULT_CLASSES.items() if chosen is Durability.REGENERABLE}
    assert regenerable == {"llm_cache", "context", "events", "audit"}


def test_a_store_is_moved_and_the_others_stay() -> None:
    """Only the store that was named changes; its class may be a word or the enum's member."""
    moved = resolve_classes({"audit": "critical", "tasks": Durability.REGENERABLE})
    changed = {store: chosen for store, chosen in moved.items() if chosen is not DEFAULT_CLASSES[store]}
    assert changed == {"audit": Durability.CRITICAL, "tasks": Durability.REGENERABLE}


@pytest.mark.parametrize(
    ("given", "named", "hint"),
    [
        ({"llm_cahce": "critical"}, "'llm_cahce'", "'llm_cache'"),
        ({"everything": "critical"}, "'everything'", "conversations"),
        ({"audit": "criticla"}, "'criticla'", "'critical'"),
        ({"audit": None}, "'audit'", "critical"),
    ],
)
def test_what_there_is_not_is_refused_by_name(given: Any, named: str, hint: str) -> None:
    """An unknown store or class is a configuration error that names it, and the right word where one is near."""
    with pytest.raises(ConfigurationError, match=named) as refused:
        resolve_classes(given)
    assert hint in refused.value.hint
