"""Write the documents by which MongoDB keeps entries, and the conditions that it decides by itself.

One document an entry. Its value is opaque bytes, so nothing in it is taken for an operator or a path::

    {"_id": "users::ada", "collection": "users", "key": "ada", "entry": b"...", "revision": b"...", "expires_at": date}
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from kv_core.address import escape
from kv_core.errors import CorruptEntryError, EntryTooLargeError
from kv_core.ttl import milliseconds

LARGEST: Final = 16 * 2**20
"""The largest document that a server takes, in bytes of BSON."""
_ROOM: Final = 2048
"""What a document has beside its texts and its bytes, at most, in bytes."""
_LONGEST: Final = 400
"""The longest collection, or key, that stands in an `_id` as it is, in bytes."""
_FOREVER: Final = 2**62

OURS: Final[dict[str, Any]] = {
    "collection": {"$type": "string"},
    "key": {"$type": "string"},
    "entry": {"$type": "binData"},
    "revision": {"$type": "binData"},
}
"""The filter for entries; what other applications keep in the same place is left alone."""

_END: Final = {"$convert": {"input": "$expires_at", "to": "long", "onNull": _FOREVER, "onError": _FOREVER}}

LIVING: Final[dict[str, Any]] = {"$gt": [_END, {"$toLong": "$$NOW"}]}
"""The expression for an entry that has not ended by the server's clock; in milliseconds, which all servers compare."""

ABSENT: Final[dict[str, Any]] = {"$not": [{"$and": [{"$ne": ["$$ROOT", {"_id": "$_id"}]}, LIVING]}]}
"""The expression for an entry that has ended, or is only being made: an upsert has set the `_id` and nothing else."""


class Stored(NamedTuple):
    """What a document holds."""

    entry: bytes
    revision: bytes
    expires_at: datetime | None

    def ended(self, now: datetime) -> bool:
        """Say whether the entry has ended by the reader's clock."""
        return self.expires_at is not None and self.expires_at <= now


def identify(collection: str, key: str) -> str:
    """Write an address as an `_id`: no two addresses share one, and a long one is a 160-bit digest.

    After the collection comes `::` and the key, or `:~` and its digest. A digest in place of the collection follows
    `%~`, which no escaped text holds.
    """
    mark, name = (":", key) if len(key.encode()) <= _LONGEST else ("~", _digest(key))
    return f"{_head(collection)}:{mark}{name}"


def bounds(collection: str) -> dict[str, str]:
    """Return the condition for every `_id` of a collection: what begins with its name and a colon."""
    head = _head(collection)
    return {"$gt": f"{head}:", "$lt": f"{head};"}


def _head(collection: str) -> str:
    name = escape(collection)
    return name if len(name.encode()) <= _LONGEST else f"%~{_digest(collection)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def check_size(size: int, collection: str, key: str) -> None:
    """Refuse an entry whose document would be larger than a server takes.

    Args:
        size: The bytes of the entry.
        collection: Where it belongs.
        key: Its key.

    Raises:
        EntryTooLargeError: It is.
    """
    largest = LARGEST - _ROOM - len(collection.encode()) - len(key.encode())
    if size > largest:
        raise EntryTooLargeError(
            f"{key!a:.200} in {collection!a:.200} is {size:,} bytes as it is sent; MongoDB allows {largest:,} beside "
            "the key.",
            key=key,
            collection=collection,
        )


def fields(collection: str, key: str, entry: bytes) -> dict[str, Any]:
    """Return the fields of a document, without its `_id` and its end."""
    return {"collection": collection, "key": key, "entry": entry, "revision": new_revision()}


def new_revision() -> bytes:
    """Return a revision that no document has had; so one that was read is never met again by chance."""
    return os.urandom(16)


def ending(expires_at: datetime | None) -> dict[str, datetime]:
    """Return the field that says when an entry ends, in whole milliseconds, rounded up; none if it does not."""
    if expires_at is None:
        return {}
    return {"expires_at": expires_at + timedelta(microseconds=-expires_at.microsecond % 1000)}


def ttl_from_now(ttl: float | None) -> dict[str, Any]:
    """Return the end of an entry as an expression of `update`, by the server's clock."""
    return {"expires_at": "$$REMOVE" if ttl is None else {"$add": ["$$NOW", milliseconds(ttl)]}}


def update(condition: Mapping[str, Any], values: Mapping[str, Any], end: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an update that the server makes if a condition holds, in one step; else it modifies nothing.

    The condition is in the update, not in the filter: a server refuses `$expr` in the filter of an upsert.

    Args:
        condition: An expression about the document.
        values: Fields to set, as they are.
        end: What `ttl_from_now` returned; empty: the entry keeps its end.
    """
    wanted = {**{name: {"$literal": value} for name, value in values.items()}, **end}
    return [{"$set": {name: {"$cond": [condition, value, f"${name}"]} for name, value in wanted.items()}}]


def read(document: Mapping[str, Any], collection: str, key: str) -> Stored:
    """Read the fields of a document.

    Raises:
        CorruptEntryError: It is not one of ours.
    """
    entry, revision, ends = (document.get(name) for name in ("entry", "revision", "expires_at"))
    if type(entry) is bytes and type(revision) is bytes and (ends is None or isinstance(ends, datetime)):
        return Stored(entry, revision, ends)
    message = f"What is stored under {key!r} in {collection!r} is not an entry; delete it or put a new value."
    raise CorruptEntryError(message, key=key, collection=collection)
