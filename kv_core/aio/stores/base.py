"""What every store does alike: check what it is asked, and make each operation from a backend's few primitives.

A native form of a primitive, or of a whole operation, replaces a derived one where it saves a round trip.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

from typing_extensions import override

from kv_core import codec, counter
from kv_core.address import check_collection, check_key, check_keys
from kv_core.aio.protocols import AsyncStore
from kv_core.aio.stores._backend import Backend, Write
from kv_core.capabilities import ALL, is_withdrawn, withdrawn
from kv_core.checks import check_limit, check_revision, check_values
from kv_core.entry import Revision
from kv_core.ttl import KEEP, Keep, KeptTTL, TTLs, When, check_ttl, each_ttl

__all__ = ["BaseStore", "Write"]

PAGE: Final = 1000
"""How many keys an enumeration asks for at once."""


class BaseStore(Backend, AsyncStore):
    """The base of every store."""

    @override
    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ALL:
            if name not in cls._has:
                setattr(cls, name, withdrawn(name))
            elif is_withdrawn(cls, name):  # by a store that this one completes
                setattr(cls, name, getattr(BaseStore, name))

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
        data = self._dump_many(collection, keys, values, ttls)
        writes = {write.key: write for write in map(Write, keys, data, ttls)}
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
