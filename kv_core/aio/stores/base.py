"""What every store does alike: check, encode, keep deadlines, name errors, and derive operations from a few primitives.

A store implements `_read`, `_write`, `_remove` and `_swap`, and what it can of `_page`, `_collections`, `_clear`,
`_cull` and `_ping`; it lists what it has in `_has`. A native form replaces a derived one where it saves a round trip.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, ParamSpec, Self, TypeVar

from typing_extensions import override

from kv_core import codec, counter
from kv_core.address import check_collection, check_key, check_keys
from kv_core.aio._runtime import Op, gather, within
from kv_core.aio.protocols import AsyncStore
from kv_core.capabilities import ALL, is_withdrawn, unsupported, withdrawn
from kv_core.checks import check_limit, check_revision, check_values, positive, whole
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
from kv_core.ttl import KEEP, SYSTEM_CLOCK, Clock, Keep, KeptTTL, TTLs, When, check_ttl, each_ttl, expiry, remaining

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_COLLECTION = "default_collection"


class Write(NamedTuple):
    """One entry of a bulk write: its key, its bytes, and its ttl in seconds."""

    key: str
    data: bytes
    ttl: float | None


class BaseStore(AsyncStore):
    """The base of every store."""

    _has: ClassVar[frozenset[str]] = ALL

    @override
    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ALL:
            if name not in cls._has:
                setattr(cls, name, withdrawn(name))
            elif is_withdrawn(cls, name):  # by a store that this one completes
                setattr(cls, name, getattr(BaseStore, name))

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
    @override
    def default_collection(self) -> str:
        return self._default_collection

    def _capabilities(self) -> frozenset[str]:
        return self._has

    # What a store implements ----------------------------------------------------------------------------------------

    @abstractmethod
    async def _read(self, collection: str, key: str) -> bytes | None:
        """Return an entry's bytes."""

    @abstractmethod
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        """Keep an entry's bytes if the condition holds; return whether it did."""

    @abstractmethod
    async def _remove(self, collection: str, key: str) -> bool:
        """Delete an entry; return whether there was one."""

    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        """Keep *data*, or delete the entry (None), if its revision's token is still *token*."""
        raise unsupported(self, "put_if_unchanged")

    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return await gather(*[self._read(collection, key) for key in keys])

    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        await gather(*[self._write(collection, key, data, ttl, "always") for key, data, ttl in writes])

    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return sum(await gather(*[self._remove(collection, key) for key in keys]))

    async def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        """Return about *size* keys from *cursor* (None: the first), and the next cursor (None: that was all)."""
        raise unsupported(self, "keys")

    async def _collections(self) -> list[str]:
        raise unsupported(self, "collections")

    async def _clear(self, collection: str | None) -> bool:
        """Delete a collection, or all of them (None); return whether there was an entry."""
        raise unsupported(self, "destroy")

    async def _cull(self) -> int:
        raise unsupported(self, "cull")

    async def _ping(self) -> None:
        raise unsupported(self, "ping")

    async def _release(self) -> None:
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

    async def _call(
        self, collection: str | None, key: str | None, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call the backend within the timeout, about a key or a collection; what goes wrong gets a name of ours."""
        try:
            return await within(self._timeout, fn, *args, **kwargs)
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

    # The operations -------------------------------------------------------------------------------------------------

    @override
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        collection = self._place(collection)
        check_key(key)
        data = await self._read(collection, key)
        return None if data is None else self._load(data, collection, key)

    @override
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        collection = self._place(collection)
        check_keys(keys)
        if not keys:
            return []
        found = await self._read_many(collection, keys)
        return [
            None if data is None else self._load(data, collection, key) for key, data in zip(keys, found, strict=True)
        ]

    @override
    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        collection = self._place(collection)
        check_key(key)
        return await self._read_ttl(collection, key)

    async def _read_ttl(self, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        data = await self._read(collection, key)
        return (None, None) if data is None else self._load_ttl(data, collection, key)

    @override
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        collection = self._place(collection)
        check_keys(keys)
        return await self._read_ttl_many(collection, keys) if keys else []

    async def _read_ttl_many(
        self, collection: str, keys: Sequence[str]
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        found = await self._read_many(collection, keys)
        return [
            (None, None) if data is None else self._load_ttl(data, collection, key)
            for key, data in zip(keys, found, strict=True)
        ]

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        await self._put(key, value, collection, ttl, "always")

    async def _put(
        self, key: str, value: dict[str, Any], collection: str | None, ttl: float | None, when: When
    ) -> bool:
        collection = self._place(collection)
        check_key(key)
        if ttl is not None:
            check_ttl(ttl)
        return await self._write(collection, key, self._dump(collection, key, value, ttl), ttl, when)

    @override
    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        collection = self._place(collection)
        check_keys(keys)
        check_values(keys, values)
        ttls = each_ttl(ttl, len(keys))
        writes = {
            key: Write(key, self._dump(collection, key, value, seconds), seconds)
            for key, value, seconds in zip(keys, values, ttls, strict=True)
        }
        if writes:
            await self._write_many(collection, list(writes.values()))

    @override
    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        collection = self._place(collection)
        check_key(key)
        return await self._remove(collection, key)

    @override
    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        collection = self._place(collection)
        check_keys(keys)
        return await self._remove_many(collection, list(dict.fromkeys(keys))) if keys else 0

    @override
    async def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return await self._put(key, value, collection, ttl, "absent")

    @override
    async def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return await self._put(key, value, collection, ttl, "present")

    @override
    async def get_with_revision(
        self, key: str, *, collection: str | None = None
    ) -> tuple[dict[str, Any], Revision] | None:
        collection = self._place(collection)
        check_key(key)
        return await self._read_revision(collection, key)

    async def _read_revision(self, collection: str, key: str) -> tuple[dict[str, Any], Revision] | None:
        data = await self._read(collection, key)
        if data is None:
            return None
        entry = codec.decode(data, collection, key)
        return None if self._ended(entry) else (entry.value, Revision(codec.fingerprint(data), entry.expires_at))

    @override
    async def put_if_unchanged(
        self,
        key: str,
        value: dict[str, Any],
        revision: Revision,
        *,
        collection: str | None = None,
        ttl: KeptTTL = KEEP,
    ) -> bool:
        collection = self._place(collection)
        check_key(key)
        check_revision(revision)
        if not isinstance(ttl, Keep):
            check_ttl(ttl)
        data = self._dump(collection, key, value, ttl, revision)
        return await self._swap(collection, key, revision.token, data, ttl)

    @override
    async def delete_if_unchanged(self, key: str, revision: Revision, *, collection: str | None = None) -> bool:
        collection = self._place(collection)
        check_key(key)
        check_revision(revision)
        return await self._swap(collection, key, revision.token, None, None)

    @override
    async def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        collection = self._place(collection)
        check_key(key)
        check_ttl(ttl)
        return await self._touch(collection, key, ttl)

    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        while (found := await self._read_revision(collection, key)) is not None:
            value, revision = found
            if await self._swap(collection, key, revision.token, self._dump(collection, key, value, ttl), ttl):
                return True
        return False

    @override
    async def increment(
        self,
        key: str,
        amount: int = 1,
        *,
        collection: str | None = None,
        initial: int | None = None,
        ttl: float | None = None,
    ) -> int:
        collection = self._place(collection)
        check_key(key)
        check_ttl(ttl)
        counter.check_number(amount, "amount")
        first = None
        if initial is not None:
            counter.check_number(initial, "initial")
            first = counter.add(initial, amount, collection, key)
        return await self._increment(collection, key, amount, first, ttl)

    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        """Add *amount* to a counter, or make it as *first* where there is none."""
        while True:
            found = await self._read_revision(collection, key)
            if found is not None:
                value, revision = found
                total = counter.add(counter.number_in(value, collection, key), amount, collection, key)
                data = self._dump(collection, key, {"value": total}, KEEP, revision)
                if await self._swap(collection, key, revision.token, data, KEEP):
                    return total
            elif first is None:
                raise counter.missing(collection, key)
            elif await self._write(collection, key, self._dump(collection, key, {"value": first}, ttl), ttl, "absent"):
                return first

    @override
    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        collection = self._place(collection)
        check_limit(limit)
        found: dict[str, None] = {}
        cursor: Any = None
        while limit is None or len(found) < limit:
            page, cursor = await self._page(collection, cursor, PAGE if limit is None else min(PAGE, limit))
            found.update(dict.fromkeys(page))
            if cursor is None:
                break
        return list(found)[:limit]

    @override
    async def iter_keys(self, collection: str | None = None) -> AsyncIterator[str]:
        collection = self._place(collection)
        seen: set[str] = set()
        cursor: Any = None
        while True:
            page, cursor = await self._page(collection, cursor, PAGE)
            for key in page:
                if key not in seen:
                    seen.add(key)
                    yield key
            if cursor is None:
                return

    @override
    async def collections(self, *, limit: int | None = None) -> list[str]:
        self._place(None)
        check_limit(limit)
        return (await self._collections())[:limit]

    @override
    async def destroy_collection(self, collection: str) -> bool:
        check_collection(collection)
        return await self._clear(self._place(collection))

    @override
    async def destroy(self) -> bool:
        self._place(None)
        return await self._clear(None)

    @override
    async def cull(self) -> int:
        self._place(None)
        return await self._cull()

    @override
    async def ping(self) -> float:
        self._place(None)
        start = perf_counter()
        await self._ping()
        return perf_counter() - start

    @override
    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}(default_collection={self._default_collection!r})"


PAGE = 1000
"""How many keys an enumeration asks for at once."""
