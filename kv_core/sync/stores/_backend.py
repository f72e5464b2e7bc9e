# Written by tools/mirror.py from kv_core/aio/stores/_backend.py: change that file instead.
"""What a store implements, what its entries look like, and how its backend is called.

A store implements `_read`, `_write`, `_remove` and `_swap`, and what it can of `_page`, `_collections`, `_clear`,
`_cull` and `_ping`; it lists what it has in `_has`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar

from kv_core import codec
from kv_core.address import check_collection
from kv_core.capabilities import ALL, Promises, unsupported
from kv_core.checks import positive, whole
from kv_core.deadline import unsent
from kv_core.entry import VERSION, Entry, Revision
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    EntryTooLargeError,
    InvalidCollectionError,
    StoreClosedError,
    StoreProtocolError,
    StoreTimeoutError,
)
from kv_core.sync._runtime import Op, gather, within
from kv_core.ttl import SYSTEM_CLOCK, Clock, Keep, KeptTTL, When, expiry, remaining

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_COLLECTION = "default_collection"


class Write(NamedTuple):
    """One entry of a bulk write: its key, its bytes, and its ttl in seconds."""

    key: str
    data: bytes
    ttl: float | None


class Backend:
    """A backend as `BaseStore` sees it: what to read and write, in which form, and how to call it."""

    _has: ClassVar[frozenset[str]] = ALL
    _promises: ClassVar[Promises]

    def __init__(
        self,
        *,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the options that all stores have.

        Args:
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are sent.

        Raises:
            ConfigurationError: An option is out of range.
        """
        name = type(self).__name__
        try:
            check_collection(default_collection)
        except InvalidCollectionError as error:
            raise ConfigurationError(f"{name}: default_collection: {error}") from error
        self._timeout = positive(timeout, f"{name}: timeout (seconds)")
        self._max_entry_size = (
            max_entry_size if max_entry_size is None else whole(max_entry_size, f"{name}: max_entry_size (bytes)")
        )
        self._default_collection = default_collection
        self._clock = _clock
        self._closed = False

    @property
    def default_collection(self) -> str:
        """Where an entry goes when no collection is named."""
        return self._default_collection

    def _capabilities(self) -> frozenset[str]:
        return self._has

    # What a store implements ----------------------------------------------------------------------------------------

    @abstractmethod
    def _read(self, collection: str, key: str) -> bytes | None:
        """Return an entry's bytes."""

    @abstractmethod
    def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        """Keep an entry's bytes if the condition holds; return whether it did."""

    @abstractmethod
    def _remove(self, collection: str, key: str) -> bool:
        """Delete an entry; return whether there was one."""

    def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        """Keep *data*, or delete the entry (None), if its revision's token is still *token*."""
        raise unsupported(self, "put_if_unchanged")

    def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return gather(*[self._read(collection, key) for key in keys])

    def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        gather(*[self._write(collection, key, data, ttl, "always") for key, data, ttl in writes])

    def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return sum(gather(*[self._remove(collection, key) for key in keys]))

    def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        """Return about *size* keys from *cursor* (None: the first), and the next cursor (None: that was all)."""
        raise unsupported(self, "keys")

    def _collections(self) -> list[str]:
        raise unsupported(self, "collections")

    def _clear(self, collection: str | None) -> bool:
        """Delete a collection, or all of them (None); return whether there was an entry."""
        raise unsupported(self, "destroy")

    def _cull(self) -> int:
        raise unsupported(self, "cull")

    def _ping(self) -> None:
        raise unsupported(self, "ping")

    def _release(self) -> None:
        """Let go of connections and files."""

    def _translate(self, error: Exception) -> BaseKeyValueError:
        """Name an error of the backend's client."""
        return StoreProtocolError(f"{type(self).__name__} failed: {type(error).__name__}.", outcome="unknown")

    # What entries look like -----------------------------------------------------------------------------------------

    def _dump(
        self, collection: str, key: str, value: dict[str, Any], ttl: KeptTTL, kept: Revision | None = None
    ) -> bytes:
        """Encode an entry that is put now."""
        now = self._clock.now()
        ends = (kept.expires_at if kept else None) if isinstance(ttl, Keep) else expiry(now, ttl)
        return self._encode(collection, key, value, now, ends)

    def _dump_many(
        self, collection: str, keys: Sequence[str], values: Sequence[dict[str, Any]], ttls: Sequence[float | None]
    ) -> list[bytes]:
        """Encode entries that are put now, all at one moment."""
        now = self._clock.now()
        ends = {ttl: expiry(now, ttl) for ttl in set(ttls)}
        return [
            self._encode(collection, key, value, now, ends[ttl])
            for key, value, ttl in zip(keys, values, ttls, strict=True)
        ]

    def _encode(self, collection: str, key: str, value: dict[str, Any], now: datetime, ends: datetime | None) -> bytes:
        data = codec.encode(
            Entry(collection=collection, created_at=now, expires_at=ends, key=key, value=value, version=VERSION)
        )
        self._fits(data, collection, key)
        return data

    def _load(self, data: bytes, collection: str, key: str) -> dict[str, Any] | None:
        """Return the value in an entry's bytes, or None if it has expired."""
        entry = codec.decode(data, collection, key)
        if entry.expires_at is not None and self._ended(entry):
            return None
        return entry.value

    def _ended(self, entry: Entry) -> bool:
        """Say whether an entry has ended; a store whose server ends entries exactly leaves it to the server."""
        return entry.expires_at is not None and entry.expires_at <= self._clock.now()

    def _load_ttl(self, data: bytes, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        entry = codec.decode(data, collection, key)
        seconds = remaining(entry.expires_at, self._clock.now()) if entry.expires_at is not None else None
        return (None, None) if seconds is not None and seconds <= 0 else (entry.value, seconds)

    def _fits(self, data: bytes, collection: str, key: str) -> None:
        if self._max_entry_size is not None and len(data) > self._max_entry_size:
            raise EntryTooLargeError(
                f"{key!r} in {collection!r} is {len(data):,} bytes as it is sent; "
                f"{type(self).__name__} allows {self._max_entry_size:,}.",
                key=key,
                collection=collection,
            )

    # Checks and calls -----------------------------------------------------------------------------------------------

    def _place(self, collection: str | None) -> str:
        """Return the collection that is meant, checked."""
        if self._closed:
            raise StoreClosedError(f"This {type(self).__name__} was closed; make a new one.")
        if collection is None:
            return self._default_collection
        check_collection(collection)
        return collection

    def _call(self, collection: str | None, key: str | None, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the backend within the timeout, about a key or a collection; what goes wrong gets a name of ours."""
        try:
            return within(self._timeout, fn, *args, **kwargs)
        except Exception as error:
            named = self._about(error, collection, key)
            if named is error:
                raise
            raise named from error

    def _about(self, error: Exception, collection: str | None, key: str | None) -> BaseKeyValueError:
        """Name an error, and say in it which key or collection it is about."""
        named = self._named(error)
        if named.key is None and named.collection is None and collection is not None:
            named.collection, named.key = collection, key
            where = f"collection {collection!r}" if key is None else f"{key!r} in {collection!r}"
            named.message = f"{named.message} ({where})"
            named.args = (named.message,)
        return named

    def _named(self, error: Exception) -> BaseKeyValueError:
        if isinstance(error, BaseKeyValueError):
            return error
        if isinstance(error, TimeoutError):
            return self._timed_out(error)
        return self._translate(error)

    def _timed_out(self, error: BaseException) -> StoreTimeoutError:
        message = f"{type(self).__name__} did not answer in time; its timeout is {self._timeout:g} s."
        return StoreTimeoutError(message, outcome="not_applied" if unsent(error) else "unknown")
