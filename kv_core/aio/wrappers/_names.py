"""The base of wrappers that change where an entry lives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from typing_extensions import override

from kv_core.address import check_collection, check_key, check_keys, escape
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.capabilities import SEGMENTS, unsupported
from kv_core.checks import check_limit
from kv_core.entry import Revision
from kv_core.errors import ConfigurationError, InvalidKeyError, PartialFailureError
from kv_core.ttl import KEEP, KeptTTL, TTLs

Address = tuple[str, str]
"""A collection and a key."""

_BATCH = 1000


class NameWrapper(BaseWrapper):
    """Translate collections and keys on their way to the wrapped store.

    Override `_name`. To list and destroy what went through the wrapper, it needs the way back, `_original`, too.
    """

    _by_collection: ClassVar[bool] = False
    """Whether the wrapped store's collection is made from the collection alone, and is this wrapper's alone."""

    @abstractmethod
    def _name(self, address: Address) -> Address:
        """Return the collection and the key under which the wrapped store keeps the entry.

        The wrapped store's collection must not depend on the key.
        """

    def _original(self, address: Address) -> Address | None:
        """Return what `_name` made this address from, or None if it made it from nothing."""
        raise unsupported(self, "keys")

    @override
    def _capabilities(self) -> frozenset[str]:
        kept = super()._capabilities()
        if type(self)._original is NameWrapper._original:
            return kept - SEGMENTS["Enumerate"] - SEGMENTS["Destroy"]
        return kept if "keys" in kept else kept - SEGMENTS["Destroy"]

    def _place(self, key: str, collection: str | None) -> Address:
        """Check an address, and return where it lives."""
        check_key(key)
        return self._name((self._resolve(collection), key))

    @contextmanager
    def _places(self, keys: Sequence[str], collection: str | None) -> Generator[tuple[list[str], str]]:
        """Check addresses, give the keys and the collection of where they live, and say by them what failed."""
        check_keys(keys)
        collection = self._resolve(collection)
        names = [self._name((collection, key))[1] for key in keys]
        try:
            yield names, self._name((collection, ""))[0]
        except PartialFailureError as error:
            raise _translated(error, dict(zip(names, keys, strict=True)), collection) from error

    @override
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        collection, key = self._place(key, collection)
        return await self.key_value.get(key, collection=collection)

    @override
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        with self._places(keys, collection) as (names, inner):
            return await self.key_value.get_many(names, collection=inner)

    @override
    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        collection, key = self._place(key, collection)
        return await self.key_value.ttl(key, collection=collection)

    @override
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        with self._places(keys, collection) as (names, inner):
            return await self.key_value.ttl_many(names, collection=inner)

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        collection, key = self._place(key, collection)
        await self.key_value.put(key, value, collection=collection, ttl=ttl)

    @override
    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        with self._places(keys, collection) as (names, inner):
            await self.key_value.put_many(names, values, collection=inner, ttl=ttl)

    @override
    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        collection, key = self._place(key, collection)
        return await self.key_value.delete(key, collection=collection)

    @override
    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        with self._places(keys, collection) as (names, inner):
            return await self.key_value.delete_many(names, collection=inner)

    @override
    async def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        collection, key = self._place(key, collection)
        return await super().put_if_absent(key, value, collection=collection, ttl=ttl)

    @override
    async def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        collection, key = self._place(key, collection)
        return await super().put_if_present(key, value, collection=collection, ttl=ttl)

    @override
    async def get_with_revision(
        self, key: str, *, collection: str | None = None
    ) -> tuple[dict[str, Any], Revision] | None:
        collection, key = self._place(key, collection)
        return await super().get_with_revision(key, collection=collection)

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
        collection, key = self._place(key, collection)
        return await super().put_if_unchanged(key, value, revision, collection=collection, ttl=ttl)

    @override
    async def delete_if_unchanged(self, key: str, revision: Revision, *, collection: str | None = None) -> bool:
        collection, key = self._place(key, collection)
        return await super().delete_if_unchanged(key, revision, collection=collection)

    @override
    async def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        collection, key = self._place(key, collection)
        return await super().touch(key, ttl=ttl, collection=collection)

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
        collection, key = self._place(key, collection)
        return await super().increment(key, amount, collection=collection, initial=initial, ttl=ttl)

    @override
    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        check_limit(limit)
        found: list[str] = []
        if limit != 0:
            async for key in self.iter_keys(collection):
                found.append(key)
                if len(found) == limit:
                    break
        return found

    @override
    async def iter_keys(self, collection: str | None = None) -> AsyncIterator[str]:
        collection = self._resolve(collection)
        inner = self._name((collection, ""))[0]
        async for key in super().iter_keys(inner):
            original = self._original((inner, key))
            if original is not None and original[0] == collection:
                yield original[1]

    @override
    async def collections(self, *, limit: int | None = None) -> list[str]:
        check_limit(limit)
        self._require("collections")
        found: dict[str, None] = {}
        for inner in await self._inner_collections():
            if self._by_collection:
                places = [self._original((inner, ""))]
            else:
                places = [self._original((inner, key)) async for key in super().iter_keys(inner)]
            found.update((place[0], None) for place in places if place is not None)
        return list(found)[:limit]

    async def _inner_collections(self) -> list[str]:
        """Return the wrapped store's collections in which entries of this wrapper may lie."""
        return await super().collections()

    @override
    async def destroy_collection(self, collection: str) -> bool:
        check_collection(collection)
        self._require("destroy_collection")
        if self._by_collection:
            return await super().destroy_collection(self._name((collection, ""))[0])
        found = False
        while keys := await self.keys(collection, limit=_BATCH):
            found = True
            await self.delete_many(keys, collection=collection)
        return found

    @override
    async def destroy(self) -> bool:
        self._require("destroy")
        return any([await self.destroy_collection(collection) for collection in await self.collections()])


def _translated(error: PartialFailureError, keys: dict[str, str], collection: str) -> PartialFailureError:
    """Return the error with the keys as the caller knows them, given by their names in the wrapped store."""
    translated = PartialFailureError(
        error.message,
        failed={keys.get(name, name): one for name, one in error.failed.items()},
        unknown={keys.get(name, name): one for name, one in error.unknown.items()},
        succeeded=[keys.get(name, name) for name in error.succeeded],
        collection=collection,
    )
    translated.outcome, translated.retryable = error.outcome, error.retryable
    return translated


def prefixed(wrapper: str, prefix: str, separator: str) -> str:
    """Return what names begin with: the prefix, escaped, and the separator.

    Raises:
        ConfigurationError: One of them is empty, or not text that UTF-8 can encode.
    """
    for name, text in (("prefix", prefix), ("separator", separator)):
        try:
            check_key(text)
        except InvalidKeyError as error:
            raise ConfigurationError(f"{wrapper}: {name}: {error}") from error
        if not text:
            raise ConfigurationError(f"{wrapper}: {name} is empty; leave the wrapper out if nothing is to be prefixed.")
    if "%" in separator:
        raise ConfigurationError(f"{wrapper}: the separator holds no %, by which prefixes are escaped.")
    return escape(prefix, ":" + separator) + separator
