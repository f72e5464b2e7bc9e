"""The cache backend for event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from typing_extensions import override

from kv_core.errors import MissingKeyError, PartialFailureError
from kv_django._cache_base import CacheBase, checked_delta
from kv_django._values import Values, are_cheap, is_cheap


class AsyncMethods(CacheBase):
    """Django's methods with an `a`, on the stack for event loops; nothing crosses a thread but what may wait itself."""

    @override
    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        here = self._current()
        made = self.make_and_validate_key(key, version)
        found = await here.astore.get(made, collection=self._collection)
        return default if found is None else here.values.load(made, found)

    @override
    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
    ) -> Any:
        """Cache a value; see `set`."""
        if nx:
            return not xx and await self.aadd(key, value, timeout, version)
        here = self._current()
        made = self.make_and_validate_key(key, version)
        data = await _dump(here.values, made, value)
        ttl = self._ttl(timeout)
        if ttl == 0:
            deleted = await here.astore.delete(made, collection=self._collection)
            return deleted if xx else None
        if xx:
            return await here.astore.put_if_present(made, data, collection=self._collection, ttl=ttl)
        return await here.astore.put(made, data, collection=self._collection, ttl=ttl)

    @override
    async def aadd(
        self, key: Any, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        here = self._current()
        made = self.make_and_validate_key(key, version)
        data = await _dump(here.values, made, value)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return await here.astore.get(made, collection=self._collection) is None
        return await here.astore.put_if_absent(made, data, collection=self._collection, ttl=ttl)

    @override
    async def atouch(self, key: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        store = self._current().astore
        made = self.make_and_validate_key(key, version)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return await store.delete(made, collection=self._collection)
        return await store.touch(made, ttl=ttl, collection=self._collection)

    @override
    async def adelete(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version)
        return await self._current().astore.delete(made, collection=self._collection)

    @override
    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version)
        return await self._current().astore.get(made, collection=self._collection) is not None

    @override
    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        here = self._current()
        made = self._made(keys, version)
        found = await here.astore.get_many(list(made), collection=self._collection)
        load = here.values.load
        return {
            key: load(name, entry) for (name, key), entry in zip(made.items(), found, strict=True) if entry is not None
        }

    @override
    async def aset_many(
        self, data: dict[Any, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        here = self._current()
        made = self._made(data, version)
        dumped = await _dump_many(here.values, {name: data[key] for name, key in made.items()})
        ttl = self._ttl(timeout)
        try:
            if ttl == 0:
                await here.astore.delete_many(list(made), collection=self._collection)
            else:
                await here.astore.put_many(list(made), dumped, collection=self._collection, ttl=ttl)
        except PartialFailureError as error:
            return self._unkept(error, made)
        return []

    @override
    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        await self._current().astore.delete_many(list(self._made(keys, version)), collection=self._collection)

    @override
    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        made = self.make_and_validate_key(key, version)
        try:
            return await self._current().astore.increment(made, delta, collection=self._collection)
        except MissingKeyError as error:
            raise self._missing(key) from error

    @override
    async def adecr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return await self.aincr(key, -checked_delta(delta), version)

    @override
    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        here = self._current()
        old = self.version if version is None else version
        made, moved = self.make_and_validate_key(key, old), self.make_and_validate_key(key, old + delta)
        found, left = await here.astore.ttl(made, collection=self._collection)
        if found is None:
            raise self._missing(key)
        value = await _dump(here.values, moved, here.values.load(made, found))
        await here.astore.put(moved, value, collection=self._collection, ttl=left)
        await here.astore.delete(made, collection=self._collection)
        return old + delta

    @override
    async def adecr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return await self.aincr_version(key, -delta, version)

    @override
    async def aget_or_set(
        self, key: Any, default: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        found = await self.aget(key, self._missing_key, version)
        if found is not self._missing_key:
            return found
        if callable(default):
            default = default()
        await self.aadd(key, default, timeout, version)
        return await self.aget(key, default, version)  # what another added meanwhile counts

    @override
    async def aclear(self) -> None:
        await self._current().astore.destroy_collection(self._collection)

    # Beyond Django's own methods ------------------------------------------------------------------------------------

    async def attl(self, key: Any, version: int | None = None) -> float | None:
        """Return the seconds that a key has left; see `ttl`."""
        made = self.make_and_validate_key(key, version)
        found, left = await self._current().astore.ttl(made, collection=self._collection)
        return 0 if found is None else left

    async def aexpire(self, key: Any, timeout: float | None, version: int | None = None) -> bool:
        """Let a key end in *timeout* seconds; see `expire`."""
        return await self.atouch(key, timeout, version)

    async def apersist(self, key: Any, version: int | None = None) -> bool:
        """Let a key have no end; see `persist`."""
        return await self.atouch(key, None, version)

    async def akeys(self, pattern: str = "*", version: int | None = None) -> list[str]:
        """Return the keys of a version that match a pattern; see `keys`."""
        return [key async for key in self.aiter_keys(pattern, version)]

    async def aiter_keys(self, pattern: str = "*", version: int | None = None) -> AsyncIterator[str]:
        """Go through the keys of a version that match a pattern; see `iter_keys`."""
        user_key = self._user_key(pattern, version)
        async for made in self._current().astore.iter_keys(self._collection):
            key = user_key(made)
            if key is not None:
                yield key

    async def adelete_pattern(self, pattern: str, version: int | None = None) -> int:
        """Delete the keys of a version that match a pattern; see `delete_pattern`."""
        store = self._current().astore
        user_key = self._user_key(pattern, version)
        made = [name async for name in store.iter_keys(self._collection) if user_key(name) is not None]
        return await store.delete_many(made, collection=self._collection)


async def _dump(values: Values, key: str, value: Any) -> dict[str, Any]:
    """Write a value; where that may take long or ask a database, in Django's thread for such things."""
    if is_cheap(value):
        return values.dump(key, value)
    return await sync_to_async(values.dump)(key, value)


async def _dump_many(values: Values, data: dict[str, Any]) -> list[dict[str, Any]]:
    def dump_all() -> list[dict[str, Any]]:
        return [values.dump(key, value) for key, value in data.items()]

    return dump_all() if are_cheap(data.values()) else await sync_to_async(dump_all)()
