"""Keep values within a size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import override

from kv_core import codec
from kv_core.address import check_key, check_keys
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.checks import check_values, whole
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError, ConfigurationError, EntryTooLargeError, EntryTooSmallError
from kv_core.spellings import also
from kv_core.ttl import KEEP, Keep, KeptTTL, TTLs, check_ttl, each_ttl

_logger = logging.getLogger(__name__)
_COUNTER: Final = (len(b'{"value":0}'), len(b'{"value":-9223372036854775808}'))
"""The smallest and the largest counter, in bytes of JSON."""


class LimitSizeWrapper(BaseWrapper):
    """Let only values through whose JSON, at this place in the stack, has a number of bytes within limits.

    Values that hold bytes, as those of an encryption or compression outside, are counted as MessagePack.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: AsyncKeyValue,
        max_size: int | None = None,
        min_size: int | None = None,
        raise_on_too_large: bool = True,
        raise_on_too_small: bool = False,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            max_size: The largest value, in bytes.
            min_size: The smallest value, in bytes.
            raise_on_too_large: Raise `EntryTooLargeError`, and leave the old value; with False the old value is
                deleted, so that nobody reads what is no longer true, and a warning is logged.
            raise_on_too_small: The same for `EntryTooSmallError`.

        Raises:
            ConfigurationError: A limit is out of range.
        """
        self.key_value = key_value
        self.max_size = None if max_size is None else whole(max_size, "LimitSizeWrapper: max_size (bytes)")
        self.min_size = None if min_size is None else whole(min_size, "LimitSizeWrapper: min_size (bytes)", least=0)
        if max_size is not None and min_size is not None and min_size > max_size:
            raise ConfigurationError(f"LimitSizeWrapper: min_size {min_size} is more than max_size {max_size}.")
        self.raise_on_too_large = raise_on_too_large
        self.raise_on_too_small = raise_on_too_small

    @override
    def _capabilities(self) -> frozenset[str]:
        kept = super()._capabilities()
        smallest, largest = _COUNTER
        fits = (self.max_size is None or self.max_size >= largest) and (self.min_size or 0) <= smallest
        return kept if fits else kept - {"increment"}

    def _fits(self, key: str, value: dict[str, Any], ttl: KeptTTL) -> bool:
        """Say whether a value may pass; raise where that was asked for, or where the call is wrong anyway."""
        check_key(key)
        if not isinstance(ttl, Keep):
            check_ttl(ttl)
        size = codec.size(value)
        if self.max_size is not None and size > self.max_size:
            message = f"{key!r} is {size:,} bytes as JSON; LimitSizeWrapper allows {self.max_size:,}."
            if self.raise_on_too_large:
                raise EntryTooLargeError(message, key=key)
        elif self.min_size is not None and size < self.min_size:
            message = f"{key!r} is {size:,} bytes as JSON; LimitSizeWrapper wants {self.min_size:,}."
            if self.raise_on_too_small:
                raise EntryTooSmallError(message, key=key)
        else:
            return True
        _logger.warning("%s It was not kept; nor is an old value that it would have replaced.", message)
        return False

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        if self._fits(key, value, ttl):
            await self.key_value.put(key, value, collection=collection, ttl=ttl)
        else:
            await self.key_value.delete(key, collection=collection)

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
        ttls = each_ttl(ttl, len(keys))
        last = dict(zip(keys, zip(values, ttls, strict=True), strict=True))
        fitting = {key: pair for key, pair in last.items() if self._fits(key, *pair)}
        refused = [key for key in last if key not in fitting]
        if refused:
            await self.key_value.delete_many(refused, collection=collection)
        try:
            await self.key_value.put_many(
                list(fitting),
                [value for value, _ in fitting.values()],
                collection=collection,
                ttl=[seconds for _, seconds in fitting.values()],
            )
        except BaseKeyValueError as error:
            if refused:
                error.outcome = "unknown"  # something was deleted
            raise

    @override
    async def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return self._fits(key, value, ttl) and await super().put_if_absent(key, value, collection=collection, ttl=ttl)

    @override
    async def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        if self._fits(key, value, ttl):
            return await super().put_if_present(key, value, collection=collection, ttl=ttl)
        await self.key_value.delete(key, collection=collection)
        return False

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
        if self._fits(key, value, ttl):
            return await super().put_if_unchanged(key, value, revision, collection=collection, ttl=ttl)
        await self.delete_if_unchanged(key, revision, collection=collection)
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
        self._require("increment")
        return await super().increment(key, amount, collection=collection, initial=initial, ttl=ttl)
