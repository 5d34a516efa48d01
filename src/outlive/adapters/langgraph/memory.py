"""What a saver remembers of the threads it served last, so as to send and fetch only what is new.

Nothing here has to be right about the database: the database refuses a write that trusts in something it doesn't
know, and a reader who lacks something asks for all of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from outlive.adapters.langgraph.images import Image, Images
from outlive.stores.graphs import Place
from outlive.stores.plan.sharing import EMPTY, Chain, Leaf

MAX_BYTES = 64 * 1024 * 1024
"""What a saver remembers at most, of all threads together."""

MAX_STORED = 65_536
"""How many objects a saver remembers to have stored."""


@dataclass(frozen=True, slots=True)
class KnownList:
    """A list as it is stored, element by element, and the images of the values that it was written or read as."""

    chain: Chain
    leaves: list[Leaf | None]
    """How to have an element's value without the database; None where its image is of a value that was read."""
    images: Images
    read: int
    """How many of the first images are of values that were read."""

    def at(self, place: int) -> Leaf | Image:
        """What an element's value is made of."""
        kept = self.leaves[place] or self.images.at(place)
        assert kept is not None, "what has no image is kept as it was stored"
        return kept

    @property
    def size_bytes(self) -> int:
        """What it takes to remember it, about: an element is taken to be like the last ones."""
        return len(self.leaves) * max(map(self._size_bytes, range(len(self.leaves))[-4:]), default=0)

    def _size_bytes(self, place: int) -> int:
        leaf, image = self.leaves[place], self.images.at(place)
        return 300 + (0 if leaf is None else len(leaf.content)) + (0 if image is None else image.size_bytes)


NOTHING = KnownList(EMPTY, [], Images(), 0)
"""Of a list that is not remembered."""


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint of a thread: its channels' versions, the shapes of their values, and the lists in them by path."""

    checkpoint: str
    versions: Mapping[str, Any]
    shapes: Mapping[str, Any]
    lists: Mapping[str, KnownList]

    @property
    def size_bytes(self) -> int:
        """What it takes to remember it, about."""
        return 500 + sum(each.size_bytes for each in self.lists.values())


@dataclass(slots=True)
class Memory:
    """The checkpoints that were put or read last, one a thread and namespace; the least used go first."""

    max_bytes: int = MAX_BYTES
    _known: OrderedDict[Place, tuple[Known, int]] = field(default_factory=OrderedDict)
    _stored: OrderedDict[tuple[str, UUID], None] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, place: Place) -> Known | None:
        """What is remembered of a thread's namespace."""
        if place not in self._known:
            return None
        self._known.move_to_end(place)
        return self._known[place][0]

    def keep(self, place: Place, known: Known) -> None:
        """Remember a checkpoint in place of an earlier one."""
        self.forget(place)
        size_bytes = known.size_bytes
        self._known[place] = known, size_bytes
        self._bytes += size_bytes
        while self._bytes > self.max_bytes and self._known:
            self._bytes -= self._known.popitem(last=False)[1][1]

    def forget(self, place: Place) -> None:
        """Remember nothing of a thread's namespace."""
        self._bytes -= self._known.pop(place, (None, 0))[1]

    def forget_thread(self, thread: str) -> None:
        """Remember nothing of a thread."""
        for place in [place for place in self._known if place.thread == thread]:
            self.forget(place)
        for key in [key for key in self._stored if key[0] == thread]:
            del self._stored[key]

    def is_stored(self, thread: str, name: UUID) -> bool:
        """Whether an object was stored by this saver not long ago."""
        return (thread, name) in self._stored

    def was_stored(self, thread: str, names: set[UUID]) -> None:
        """Remember that objects are stored."""
        for name in names:
            self._stored[thread, name] = None
            self._stored.move_to_end((thread, name))
        while len(self._stored) > MAX_STORED:
            self._stored.popitem(last=False)
