"""The cache backend for threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from typing_extensions import override

from kv_core.errors import MissingKeyError, PartialFailureError
from kv_django._cache_base import CacheBase, checked_delta


class SyncMethods(CacheBase):
    """Django's methods without an `a`, on the stack for threads; they also work where a loop is running."""

    @override
    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        here = self._current()
        made = self.make_and_validate_key(key, version)
        found = here.store.get(made, collection=self._collection)
        return default if found is None else here.values.load(made, found)

    @override
    def set(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
    ) -> Any:
        """Cache a value.

        Args:
            key: The key.
            value: The value.
            timeout: How long it is kept, in seconds; None: without end; 0 or less: not at all.
            version: The version of the key.
            nx: Cache it only if there is nothing under the key.
            xx: Cache it only if there is something under the key.

        Returns:
            With *nx* or *xx*, whether it was cached.
        """
        if nx:
            return not xx and self.add(key, value, timeout, version)
        here = self._current()
        made = self.make_and_validate_key(key, version)
        data = here.values.dump(made, value)
        ttl = self._ttl(timeout)
        if ttl == 0:
            deleted = here.store.delete(made, collection=self._collection)
            return deleted if xx else None
        if xx:
            return here.store.put_if_present(made, data, collection=self._collection, ttl=ttl)
        return here.store.put(made, data, collection=self._collection, ttl=ttl)

    @override
    def add(self, key: Any, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        here = self._current()
        made = self.make_and_validate_key(key, version)
        data = here.values.dump(made, value)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return here.store.get(made, collection=self._collection) is None
        return here.store.put_if_absent(made, data, collection=self._collection, ttl=ttl)

    @override
    def touch(self, key: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        store = self._current().store
        made = self.make_and_validate_key(key, version)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return store.delete(made, collection=self._collection)
        return store.touch(made, ttl=ttl, collection=self._collection)

    @override
    def delete(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version)
        return self._current().store.delete(made, collection=self._collection)

    @override
    def has_key(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version)
        return self._current().store.get(made, collection=self._collection) is not None

    @override
    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        here = self._current()
        made = self._made(keys, version)
        found = here.store.get_many(list(made), collection=self._collection)
        load = here.values.load
        return {
            key: load(name, entry) for (name, key), entry in zip(made.items(), found, strict=True) if entry is not None
        }

    @override
    def set_many(
        self, data: dict[Any, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        here = self._current()
        made = self._made(data, version)
        dumped = [here.values.dump(name, data[key]) for name, key in made.items()]
        ttl = self._ttl(timeout)
        try:
            if ttl == 0:
                here.store.delete_many(list(made), collection=self._collection)
            else:
                here.store.put_many(list(made), dumped, collection=self._collection, ttl=ttl)
        except PartialFailureError as error:
            return self._unkept(error, made)
        return []

    @override
    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self._current().store.delete_many(list(self._made(keys, version)), collection=self._collection)

    @override
    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        made = self.make_and_validate_key(key, version)
        try:
            return self._current().store.increment(made, delta, collection=self._collection)
        except MissingKeyError as error:
            raise self._missing(key) from error

    @override
    def decr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.incr(key, -checked_delta(delta), version)

    @override
    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        here = self._current()
        old = self.version if version is None else version
        made, moved = self.make_and_validate_key(key, old), self.make_and_validate_key(key, old + delta)
        found, left = here.store.ttl(made, collection=self._collection)
        if found is None:
            raise self._missing(key)
        value = here.values.dump(moved, here.values.load(made, found))
        here.store.put(moved, value, collection=self._collection, ttl=left)
        here.store.delete(made, collection=self._collection)
        return old + delta

    @override
    def clear(self) -> None:
        self._current().store.destroy_collection(self._collection)

    # Beyond Django's own methods ------------------------------------------------------------------------------------

    def ttl(self, key: Any, version: int | None = None) -> float | None:
        """Return the seconds that a key has left: None if it has no end, 0 if there is nothing under it."""
        made = self.make_and_validate_key(key, version)
        found, left = self._current().store.ttl(made, collection=self._collection)
        return 0 if found is None else left

    def expire(self, key: Any, timeout: float | None, version: int | None = None) -> bool:
        """Let a key end in *timeout* seconds; return whether there was something under it."""
        return self.touch(key, timeout, version)

    def persist(self, key: Any, version: int | None = None) -> bool:
        """Let a key have no end; return whether there was something under it."""
        return self.touch(key, None, version)

    def keys(self, pattern: str = "*", version: int | None = None) -> list[str]:
        """Return the keys of a version that match a pattern of `*`, `?` and `[…]`, in no particular order."""
        return list(self.iter_keys(pattern, version))

    def iter_keys(self, pattern: str = "*", version: int | None = None) -> Iterator[str]:
        """Go through the keys of a version that match a pattern of `*`, `?` and `[…]`."""
        user_key = self._user_key(pattern, version)
        for made in self._current().store.iter_keys(self._collection):
            key = user_key(made)
            if key is not None:
                yield key

    def delete_pattern(self, pattern: str, version: int | None = None) -> int:
        """Delete the keys of a version that match a pattern of `*`, `?` and `[…]`; return how many there were."""
        store = self._current().store
        user_key = self._user_key(pattern, version)
        made = [name for name in store.iter_keys(self._collection) if user_key(name) is not None]
        return store.delete_many(made, collection=self._collection)
