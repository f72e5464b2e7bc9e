"""Say where an entry lies on Memcached servers, for how long, and whether it belongs to its collection still.

An item of ours carries in its 32 bits of flags the generation of its collection. Beside the items lies a record that
says which generation holds; whoever changes it has destroyed the collection. Items without a generation are those of
py-key-value, which names items as we do.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import datetime
from secrets import randbits
from typing import Final, NamedTuple

from kv_core import address
from kv_core.errors import CorruptEntryError

MAX_NAME: Final = 250
"""The longest name that a server takes, in bytes."""
ITEM_OVERHEAD: Final = 72
"""What an item takes beside its name and its data, in bytes, at most: header, cas, flags, terminators."""

_PLAIN: Final = re.compile(rb"[^\x00-\x20\x7f]+")
_RECORD: Final = re.compile(rb"(\d{10})(\+?)")
_UNPRINTABLE: Final = re.compile(rb"[^!-~]")
_MONTH: Final = 30 * 24 * 3600
_LAST_SECOND: Final = 2**31 - 1


def item_name(collection: str, key: str, limit: int = MAX_NAME) -> bytes:
    """Return the name of an entry's item: `collection::key`, or a digest of it where a server could not hold it."""
    return _fitting(address.encode(collection, key).encode(), limit)


def record_name(collection: str, limit: int = MAX_NAME) -> bytes:
    """Return the name of the record that holds a collection's generation; no entry has one without `::` in it."""
    return _fitting(b"kvstack:generation:" + address.escape(collection).encode(), limit)


def _fitting(name: bytes, limit: int) -> bytes:
    if len(name) <= limit and _PLAIN.fullmatch(name):
        return name
    digest = hashlib.blake2b(name, digest_size=20).hexdigest().encode()
    beginning = _UNPRINTABLE.sub(b"_", name)[: limit - len(digest) - 3]
    return b"::" + beginning + b"~" + digest  # no other name begins with the separator


def exptime(ttl: float | None, now: datetime) -> int:
    """Return what the server is told of a ttl in seconds, so that it never ends an item early; 0 is no end.

    An item with n seconds lives for n-1 to n, so one is added. Beyond 30 days the server wants the moment, and beyond
    2038 it would drop the item at once.
    """
    if ttl is None:
        return 0
    seconds = math.ceil(ttl) + 1
    if seconds <= _MONTH:
        return seconds
    moment = math.ceil(now.timestamp()) + seconds
    return moment if moment <= _LAST_SECOND else 0


class Item(NamedTuple):
    """What a server holds under a name."""

    data: bytes
    flags: int


class Generation(NamedTuple):
    """Which items of a collection are there.

    Attributes:
        number: The flags of those that this library wrote; None: there are none.
        others: Whether those that it did not write are there, too.
    """

    number: int | None
    others: bool

    def holds(self, item: Item) -> bool:
        """Say whether an item is one of the collection's."""
        return item.flags == self.number if item.flags >= _FIRST else self.others

    def next(self) -> Generation:
        """Return a generation that no item carries yet, for a collection that has none."""
        return Generation(_FIRST | randbits(31), self.others)

    def record(self) -> bytes:
        """Return the record of this generation."""
        return b"" if self.number is None else b"%d%b" % (self.number, b"+" if self.others else b"")


_FIRST: Final = 2**31  # other clients tell types by small numbers
UNTOUCHED: Final = Generation(None, others=True)
"""What holds without a record: nothing of ours was put, or the server has dropped the record."""
DESTROYED: Final = Generation(None, others=False)
"""What holds until something is put again."""


def generation(record: Item | None) -> Generation:
    """Read a record.

    Raises:
        CorruptEntryError: It is somebody else's.
    """
    if record is None:
        return UNTOUCHED
    if not record.data:
        return DESTROYED
    found = _RECORD.fullmatch(record.data)
    if found is None:
        raise CorruptEntryError(
            "What is stored as the record of a collection's generation is something else: delete it."
        )
    return Generation(int(found[1]), bool(found[2]))


class Rendezvous:
    """Choose a node for each name: if one is taken away, only its own names move."""

    def __init__(self, nodes: Sequence[str]) -> None:
        """Take the nodes by name, in any order."""
        self._nodes = [hashlib.blake2b(f"{node}\0".encode(), digest_size=8) for node in nodes]

    def choose(self, name: bytes) -> int:
        """Return the position of the node for *name*."""
        if len(self._nodes) == 1:
            return 0
        weights: list[bytes] = []
        for node in self._nodes:
            weight = node.copy()
            weight.update(name)
            weights.append(weight.digest())
        return weights.index(max(weights))
