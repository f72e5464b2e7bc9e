"""Keep entries in this process's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from kv_core import codec, counter
from kv_core.aio.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.aio.stores.base import BaseStore
from kv_core.capabilities import Promises
from kv_core.checks import whole
from kv_core.entry import Revision
from kv_core.errors import ConfigurationError
from kv_core.memory_table import MemoryTable, named_table
from kv_core.ttl import SYSTEM_CLOCK, Clock, KeptTTL, When


class MemoryStore(BaseStore):
    """A store for one process.

    Entries end exactly, by the monotonic clock; their room is given back as others are written or listed.
    After a fork each process goes on with a copy. Nothing is evicted unless `max_entries_per_collection` says so.
    """

    _promises = Promises(
        clock="the process's monotonic clock, exact",
        acknowledged="in this process's memory, and gone with it",
        largest="no limit",
        dropped="nothing, unless `max_entries_per_collection` is given",
    )

    def __init__(
        self,
        *,
        max_entries_per_collection: int | None = None,
        name: str | None = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
        _evict: int = 1,
        _shared: MemoryTable | None = None,
    ) -> None:
        """Make a store, empty unless others of its name exist.

        Args:
            max_entries_per_collection: Beyond it the least recently used entries of a collection are evicted.
            name: Stores of one name in a process share their entries.
            default_collection: Where an entry goes when no collection is named.
            timeout: Taken as by other stores, in seconds; memory never waits.
            max_entry_size: The largest value that is kept, in bytes of MessagePack.

        Raises:
            ConfigurationError: An option is out of range.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        if max_entries_per_collection is not None:
            whole(max_entries_per_collection, "MemoryStore: max_entries_per_collection")
        if name is not None and type(name) is not str:
            raise ConfigurationError(f"MemoryStore: name is text, not {type(name).__name__}.")
        self._limit = max_entries_per_collection
        self._evict = _evict  # how many at once, for integrations whose framework promises a number
        self._bounded = self._limit is not None
        self._now = _clock.monotonic
        self._table = named_table(name) if name else MemoryTable() if _shared is None else _shared

    @staticmethod
    def _share() -> MemoryTable:
        """Return what the twins of one stack have in common."""
        return MemoryTable()

    @override
    def _dump(
        self, collection: str, key: str, value: dict[str, Any], ttl: KeptTTL, kept: Revision | None = None
    ) -> bytes:
        data = codec.encode_value(value, collection, key)
        self._fits(data, collection, key)
        return data

    @override
    def _dump_many(
        self, collection: str, keys: Sequence[str], values: Sequence[dict[str, Any]], ttls: Sequence[float | None]
    ) -> list[bytes]:
        return [self._dump(collection, key, value, None) for key, value in zip(keys, values, strict=True)]

    @override
    def _load(self, data: bytes, collection: str, key: str) -> dict[str, Any]:
        return codec.decode_value(data)

    @override
    async def _read(self, collection: str, key: str) -> bytes | None:
        record = self._table.read(collection, key, self._now, mark=self._bounded)
        return None if record is None else record.data

    @override
    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        records = [self._table.read(collection, key, self._now, mark=self._bounded) for key in keys]
        return [None if record is None else record.data for record in records]

    @override
    async def _read_ttl(self, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        time = self._now()
        record = self._table.read(collection, key, lambda: time, mark=self._bounded)
        if record is None:
            return None, None
        return codec.decode_value(record.data), None if record.ends is None else record.ends - time

    @override
    async def _read_ttl_many(
        self, collection: str, keys: Sequence[str]
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return [await self._read_ttl(collection, key) for key in keys]

    @override
    async def _read_revision(self, collection: str, key: str) -> tuple[dict[str, Any], Revision] | None:
        record = self._table.read(collection, key, self._now, mark=self._bounded)
        return None if record is None else (codec.decode_value(record.data), Revision(record.serial))

    @override
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        return self._table.write(collection, key, data, ttl, self._now, when=when, limit=self._limit, evict=self._evict)

    @override
    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        self._table.write_many(collection, writes, self._now, limit=self._limit, evict=self._evict)

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        return self._table.remove(collection, key, self._now)

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return sum([self._table.remove(collection, key, self._now) for key in keys])

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        return self._table.swap(collection, key, token, data, ttl, self._now)

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        with self._table.lock:
            record = self._table.read(collection, key, self._now, mark=self._bounded)
            return record is not None and self._table.swap(collection, key, record.serial, record.data, ttl, self._now)

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        with self._table.lock:
            record = self._table.read(collection, key, self._now, mark=self._bounded)
            if record is None:
                if first is None:
                    raise counter.missing(collection, key)
                data = codec.encode_value({"value": first})
                self._table.write(collection, key, data, ttl, self._now, limit=self._limit, evict=self._evict)
                return first
            number = counter.number_in(codec.decode_value(record.data), collection, key)
            total = counter.add(number, amount, collection, key)
            self._table.replace(collection, key, codec.encode_value({"value": total}))
            return total

    @override
    async def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        return self._table.keys(collection, self._now), None

    @override
    async def _collections(self) -> list[str]:
        return self._table.collections(self._now)

    @override
    async def _clear(self, collection: str | None) -> bool:
        return self._table.clear(collection, self._now)

    @override
    async def _cull(self) -> int:
        return self._table.cull(self._now)

    @override
    async def _ping(self) -> None:
        return
