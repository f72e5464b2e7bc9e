"""Keep ttls within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from typing_extensions import override

from kv_core.address import check_keys
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.checks import positive
from kv_core.entry import Revision
from kv_core.errors import ConfigurationError
from kv_core.spellings import also
from kv_core.ttl import KEEP, MAX_TTL, Keep, KeptTTL, TTLs, check_ttl, each_ttl


class TTLClampWrapper(BaseWrapper):
    """Raise and lower every ttl to bounds, and give one to what has none."""

    _outside_encryption: ClassVar[str] = "would change expiries that are sealed"

    @also(store="key_value")
    def __init__(
        self, key_value: AsyncKeyValue, min_ttl: float, max_ttl: float, missing_ttl: float | None = None
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            min_ttl: The shortest ttl, in seconds.
            max_ttl: The longest ttl, in seconds.
            missing_ttl: The ttl of what is put without one, in seconds; by default it has none.

        Raises:
            ConfigurationError: A bound is not more than 0, they are in the wrong order, or *min_ttl* is longer than
                any ttl may be.
        """
        self.key_value = key_value
        self.min_ttl = positive(min_ttl, "TTLClampWrapper: min_ttl (seconds)")
        self.max_ttl = positive(max_ttl, "TTLClampWrapper: max_ttl (seconds)")
        if self.min_ttl > self.max_ttl:
            raise ConfigurationError(f"TTLClampWrapper: min_ttl {min_ttl} is more than max_ttl {max_ttl}.")
        if self.min_ttl > MAX_TTL:
            raise ConfigurationError(f"TTLClampWrapper: min_ttl {min_ttl} is more than stores take, {MAX_TTL:.0f}.")
        self.max_ttl = min(self.max_ttl, MAX_TTL)
        self.missing_ttl = None
        if missing_ttl is not None:
            missing = positive(missing_ttl, "TTLClampWrapper: missing_ttl (seconds)")
            self.missing_ttl = self._clamp(min(missing, MAX_TTL))

    def _clamp(self, ttl: float | None) -> float | None:
        check_ttl(ttl)
        return self.missing_ttl if ttl is None else min(max(ttl, self.min_ttl), self.max_ttl)

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        await self.key_value.put(key, value, collection=collection, ttl=self._clamp(ttl))

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
        ttls = [self._clamp(seconds) for seconds in each_ttl(ttl, len(keys))]
        await self.key_value.put_many(keys, values, collection=collection, ttl=ttls)

    @override
    async def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return await super().put_if_absent(key, value, collection=collection, ttl=self._clamp(ttl))

    @override
    async def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return await super().put_if_present(key, value, collection=collection, ttl=self._clamp(ttl))

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
        kept = ttl if isinstance(ttl, Keep) else self._clamp(ttl)
        return await super().put_if_unchanged(key, value, revision, collection=collection, ttl=kept)

    @override
    async def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        return await super().touch(key, ttl=self._clamp(ttl), collection=collection)

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
        return await super().increment(key, amount, collection=collection, initial=initial, ttl=self._clamp(ttl))
