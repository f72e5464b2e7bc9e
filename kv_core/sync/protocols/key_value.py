# Written by tools/mirror.py from kv_core/aio/protocols/key_value.py: change that file instead.
"""What a key-value store can be asked: eight basic operations, and segments beyond them.

A store or a whole stack may lack a segment; `kv_core.capabilities.capabilities(store)` tells the truth,
and `require(store, Segment)` narrows the type or raises `UnsupportedOperationError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from kv_core.entry import Revision
from kv_core.ttl import KEEP, KeptTTL, TTLs


@runtime_checkable
class KeyValue(Protocol):
    """The basic operations.

    A key is any text; a value is a dict of what JSON can hold, and bytes; a ttl is in seconds.
    `collection=None` means the store's default collection.
    Every operation raises only errors of `kv_core.errors`.
    """

    def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """Return the value, or None if there is none."""
        ...

    def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """Return the value or None for each key, in the order of the keys."""
        ...

    def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """Return the value and the seconds it has left.

        Returns:
            `(None, None)` if there is none, `(value, None)` if it has no expiry.
        """
        ...

    def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """Return what `ttl` returns for each key, in the order of the keys."""
        ...

    def put(self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None) -> None:
        """Keep *value*, for *ttl* seconds or without end; an earlier value and its ttl are gone."""
        ...

    def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        """Keep a value for each key; of a key that is given twice, the last value."""
        ...

    def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Delete the entry, and return whether there was one."""
        ...

    def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Delete the entries, and return how many there were."""
        ...


@runtime_checkable
class ConditionalPut(Protocol):
    """Write if there is an entry, or if there is none, in one step."""

    def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        """Keep *value* if there is no entry (an expired one counts as none); return whether it was kept."""
        ...

    def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        """Keep *value* if there is an entry; return whether it was kept."""
        ...


@runtime_checkable
class Revisions(Protocol):
    """Write or delete only what has not changed since it was read."""

    def get_with_revision(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any], Revision] | None:
        """Return the value and its revision, or None if there is none."""
        ...

    def put_if_unchanged(
        self,
        key: str,
        value: dict[str, Any],
        revision: Revision,
        *,
        collection: str | None = None,
        ttl: KeptTTL = KEEP,
    ) -> bool:
        """Keep *value* if the entry is still at *revision*; return whether it was kept.

        Args:
            key: The key.
            value: The new value.
            revision: What `get_with_revision` returned for this key.
            collection: The collection.
            ttl: In seconds; None for no expiry; `KEEP` keeps the expiry that the entry has.
        """
        ...

    def delete_if_unchanged(self, key: str, revision: Revision, *, collection: str | None = None) -> bool:
        """Delete the entry if it is still at *revision*; return whether it was deleted."""
        ...


@runtime_checkable
class Touch(Protocol):
    """Change when an entry ends."""

    def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        """Let the entry end in *ttl* seconds, or never (None); return whether there is one."""
        ...


@runtime_checkable
class Increment(Protocol):
    """Count."""

    def increment(
        self,
        key: str,
        amount: int = 1,
        *,
        collection: str | None = None,
        initial: int | None = None,
        ttl: float | None = None,
    ) -> int:
        """Add *amount* to the counter, an entry whose value is exactly `{"value": <64-bit int>}`.

        Args:
            key: The key.
            amount: What to add; it may be negative.
            collection: The collection.
            initial: What a missing counter is made from; without it a missing counter is an error.
            ttl: The ttl of a counter that is made, in seconds; one that is there keeps its own.

        Returns:
            The counter's new value.

        Raises:
            MissingKeyError: There is no entry, and no *initial* was given.
            NotACounterError: The entry is not a counter; it stays as it is.
            CounterOverflowError: The sum is outside signed 64 bits; the counter stays as it is.
        """
        ...


@runtime_checkable
class Enumerate(Protocol):
    """List what is stored."""

    def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Return the keys of a collection, in no particular order, at most *limit*."""
        ...

    def iter_keys(self, collection: str | None = None) -> Iterator[str]:
        """Go through the keys of a collection, page by page; each comes once."""
        ...

    def collections(self, *, limit: int | None = None) -> list[str]:
        """Return the collections that hold an entry, in no particular order, at most *limit*."""
        ...


@runtime_checkable
class Destroy(Protocol):
    """Delete everything, of this library only."""

    def destroy_collection(self, collection: str) -> bool:
        """Delete every entry of a collection, and return whether there was one."""
        ...

    def destroy(self) -> bool:
        """Delete every entry of every collection, and return whether there was one."""
        ...


@runtime_checkable
class Cull(Protocol):
    """Give back the room of expired entries."""

    def cull(self) -> int:
        """Remove expired entries now, and return how many were removed."""
        ...


@runtime_checkable
class Ping(Protocol):
    """Ask whether the backend is there."""

    def ping(self) -> float:
        """Ask the backend for a sign of life, and return how long it took, in seconds."""
        ...


@runtime_checkable
class Store(
    KeyValue,
    ConditionalPut,
    Revisions,
    Touch,
    Increment,
    Enumerate,
    Destroy,
    Cull,
    Ping,
    Protocol,
):
    """Everything that a store or a stack has; what one lacks raises `UnsupportedOperationError`."""

    @property
    def default_collection(self) -> str:
        """Where an entry goes when no collection is named."""
        ...

    def close(self) -> None:
        """Let go of connections and files; the store cannot be used any more."""
        ...
