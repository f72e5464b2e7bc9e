"""The base of wrappers that change what is stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from typing_extensions import override

from kv_core import counter
from kv_core.address import check_key, check_keys
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.capabilities import SEGMENTS
from kv_core.checks import check_revision, check_values
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError
from kv_core.ttl import KEEP, SYSTEM_CLOCK, Clock, Keep, KeptTTL, TTLs, check_ttl, each_ttl, expiry

Address = tuple[str, str]
"""A collection and a key."""


class ValueWrapper(BaseWrapper):
    """Encode values on their way into the wrapped store, and decode them on their way out.

    Override `_encode` and `_decode`. What the wrapped store would have to look into (`increment`) is made from reading
    and putting if unchanged, so it needs a store that has revisions.
    """

    key_value: AsyncKeyValue
    _clock: Clock = SYSTEM_CLOCK
    _hides: ClassVar[bool] = True
    """Whether `_decode` may report an entry as missing that the wrapped store has."""

    @abstractmethod
    def _encode(self, value: dict[str, Any], address: Address, expires_at: datetime | None) -> dict[str, Any]:
        """Return what the wrapped store is to keep for *value*, which ends at *expires_at* at the latest."""

    @abstractmethod
    def _decode(self, value: dict[str, Any], address: Address) -> dict[str, Any] | None:
        """Return the value that was encoded, or None to report the entry as missing."""

    @override
    def _capabilities(self) -> frozenset[str]:
        kept = super()._capabilities()
        return kept if SEGMENTS["Revisions"] | SEGMENTS["ConditionalPut"] <= kept else kept - SEGMENTS["Increment"]

    def _place(self, key: str, collection: str | None) -> Address:
        check_key(key)
        return self._resolve(collection), key

    def _encode_for(self, value: dict[str, Any], address: Address, ttl: KeptTTL, kept: Revision | None = None) -> Any:
        if ttl is None:
            return self._encode(value, address, None)
        if isinstance(ttl, Keep):
            return self._encode(value, address, kept.expires_at if kept else None)
        check_ttl(ttl)
        return self._encode(value, address, expiry(self._clock.now(), ttl))

    @override
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        address = self._place(key, collection)
        value = await self.key_value.get(key, collection=address[0])
        return None if value is None else self._decode(value, address)

    @override
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        check_keys(keys)
        collection = self._resolve(collection)
        found = await self.key_value.get_many(keys, collection=collection)
        return [
            None if value is None else self._decode(value, (collection, key))
            for key, value in zip(keys, found, strict=True)
        ]

    @override
    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        address = self._place(key, collection)
        return self._decode_ttl(await self.key_value.ttl(key, collection=address[0]), address)

    @override
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        check_keys(keys)
        collection = self._resolve(collection)
        found = await self.key_value.ttl_many(keys, collection=collection)
        return [self._decode_ttl(pair, (collection, key)) for key, pair in zip(keys, found, strict=True)]

    def _decode_ttl(
        self, found: tuple[dict[str, Any] | None, float | None], address: Address
    ) -> tuple[dict[str, Any] | None, float | None]:
        value = None if found[0] is None else self._decode(found[0], address)
        return (None, None) if value is None else (value, found[1])

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        address = self._place(key, collection)
        await self.key_value.put(key, self._encode_for(value, address, ttl), collection=address[0], ttl=ttl)

    @override
    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        check_keys(keys)
        check_values(keys, values)
        collection = self._resolve(collection)
        ttls = each_ttl(ttl, len(keys))
        encoded = [
            self._encode_for(value, (collection, key), seconds)
            for key, value, seconds in zip(keys, values, ttls, strict=True)
        ]
        await self.key_value.put_many(keys, encoded, collection=collection, ttl=ttl)

    @override
    async def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        address = self._place(key, collection)
        while True:
            encoded = self._encode_for(value, address, ttl)
            if await super().put_if_absent(key, encoded, collection=address[0], ttl=ttl):
                return True
            if not self._hides or not SEGMENTS["Revisions"] <= super()._capabilities():
                return False
            found = await super().get_with_revision(key, collection=address[0])
            if found is None:
                continue  # it has ended meanwhile
            if not self._is_hidden(found[0], address):
                return False
            if await super().put_if_unchanged(key, encoded, found[1], collection=address[0], ttl=ttl):
                return True

    def _is_hidden(self, stored: dict[str, Any], address: Address) -> bool:
        """Say whether what the wrapped store has counts as missing; what cannot be read does not."""
        try:
            return self._decode(stored, address) is None
        except BaseKeyValueError:
            return False

    @override
    async def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        address = self._place(key, collection)
        encoded = self._encode_for(value, address, ttl)
        return await super().put_if_present(key, encoded, collection=address[0], ttl=ttl)

    @override
    async def get_with_revision(
        self, key: str, *, collection: str | None = None
    ) -> tuple[dict[str, Any], Revision] | None:
        address = self._place(key, collection)
        found = await super().get_with_revision(key, collection=address[0])
        value = None if found is None else self._decode(found[0], address)
        return None if found is None or value is None else (value, found[1])

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
        check_revision(revision)
        address = self._place(key, collection)
        encoded = self._encode_for(value, address, ttl, revision)
        return await super().put_if_unchanged(key, encoded, revision, collection=address[0], ttl=ttl)

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
        self._require("increment")
        check_ttl(ttl)
        counter.check_number(amount, "amount")
        if initial is not None:
            counter.check_number(initial, "initial")
            initial = counter.add(initial, amount, collection, key)
        while True:
            found = await self.get_with_revision(key, collection=collection)
            if found is not None:
                total = counter.add(counter.number_in(found[0], collection, key), amount, collection, key)
                if await self.put_if_unchanged(key, {"value": total}, found[1], collection=collection):
                    return total
            elif initial is None:
                raise counter.missing(collection, key)
            elif await self.put_if_absent(key, {"value": initial}, collection=collection, ttl=ttl):
                return initial
