# Written by tools/mirror.py from kv_core/aio/wrappers/passthrough_cache.py: change that file instead.
"""Put a fast store in front of a slow one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from typing_extensions import override

from kv_core import codec
from kv_core.address import check_key, check_keys
from kv_core.capabilities import capabilities
from kv_core.checks import positive
from kv_core.errors import BaseKeyValueError, PartialFailureError
from kv_core.overlaps import Address, Overlaps
from kv_core.spellings import also
from kv_core.sync._runtime import SingleFlight
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T

_logger = logging.getLogger(__name__)
_ABSENT: Final[dict[str, Any]] = {"absent": True}


class PassthroughCacheWrapper(CallWrapper, whole=True):
    """Answer `get` and `get_many` from a cache, and load into it from the store what it does not have.

    Writes go to the store; the cached copy is removed before and after. Once a write has returned, this instance
    never answers with what was there before, also when a load of the old value was under way. (Another process may,
    for `maximum_ttl` at most, if it loaded the old value while this one wrote.) Many concurrent misses of one key
    are one load. What is wrong with the cache while reading costs its help only; a write that cannot remove the
    cached copy fails before it is made. (A cache has to be one whose writes do not land long after they failed: a copy
    that was given up and removed, and lands then, is read until `maximum_ttl`.)
    """

    @also(key_value="store", primary_key_value="store", cache_store="cache", cache_key_value="cache")
    def __init__(
        self,
        store: KeyValue,
        cache: KeyValue,
        *,
        maximum_ttl: float = 1800.0,
        missing_ttl: float | None = None,
    ) -> None:
        """Wrap a store and its cache.

        Args:
            store: The store that holds the truth.
            cache: The fast store, for nothing else but these copies.
            maximum_ttl: How long a copy is kept at most, in seconds.
            missing_ttl: How long to remember that there is no entry, in seconds; by default this is not remembered.

        Raises:
            ConfigurationError: A ttl is not more than 0.
        """
        self.key_value = store
        self.cache = cache
        self.maximum_ttl = positive(maximum_ttl, "PassthroughCacheWrapper: maximum_ttl (seconds)")
        self.missing_ttl = missing_ttl
        if missing_ttl is not None:
            self.missing_ttl = positive(missing_ttl, "PassthroughCacheWrapper: missing_ttl (seconds)")
        self._overlaps = Overlaps()
        self._flights: SingleFlight[Address, bytes | None] = SingleFlight()

    @override
    def _stores(self) -> Sequence[object]:
        return self.key_value, self.cache

    # Reads ----------------------------------------------------------------------------------------------------------

    @override
    def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        check_key(key)
        address = self._resolve(collection), key
        if not self._overlaps.trusted(address):
            self._heal([address])
            if not self._overlaps.trusted(address):
                return self.key_value.get(key, collection=address[0])
        [cached] = self._cached([address])
        if cached is not None:
            return cached.get("value")
        loaded = self._flights.run(address, self._load, address)
        return None if loaded is None else codec.decode_value(loaded)

    @override
    def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        check_keys(keys)
        collection = self._resolve(collection)
        addresses = [(collection, key) for key in dict.fromkeys(keys)]
        self._heal(addresses)
        trusted = [address for address in addresses if self._overlaps.trusted(address)]
        cached = dict(zip(trusted, self._cached(trusted), strict=True)) if trusted else {}
        missing = [address for address in addresses if cached.get(address) is None]
        loaded = self._load_many(missing) if missing else {}
        return [self._copy_of(loaded, cached, (collection, key)) for key in keys]

    @staticmethod
    def _copy_of(
        loaded: dict[Address, bytes | None], cached: dict[Address, dict[str, Any] | None], address: Address
    ) -> dict[str, Any] | None:
        if address in loaded:
            data = loaded[address]
            return None if data is None else codec.decode_value(data)
        value = (cached[address] or _ABSENT).get("value")
        return None if value is None else codec.decode_value(codec.encode_value(value))

    def _cached(self, addresses: Sequence[Address]) -> list[dict[str, Any] | None]:
        """Return what the cache has for each address: `{"value": …}`, `{"absent": True}` or None."""
        collection = addresses[0][0]
        try:
            if len(addresses) == 1:
                return [self.cache.get(addresses[0][1], collection=collection)]
            return self.cache.get_many([key for _, key in addresses], collection=collection)
        except BaseKeyValueError as error:
            _logger.warning("The cache cannot be read: %s", type(error).__name__)
            return [None] * len(addresses)

    def _heal(self, addresses: Sequence[Address]) -> None:
        """Remove copies that are in doubt, so that they can be loaded again."""
        doubts = {address: doubt for address in addresses if (doubt := self._overlaps.doubt(address))}
        if not doubts:
            return
        try:
            self.cache.delete_many([key for _, key in doubts], collection=addresses[0][0])
        except BaseKeyValueError as error:
            _logger.warning("A cached copy still cannot be removed: %s", type(error).__name__)
        else:
            self._overlaps.settle(doubts)

    def _load(self, address: Address) -> bytes | None:
        return (self._load_many([address]))[address]

    def _load_many(self, addresses: Sequence[Address]) -> dict[Address, bytes | None]:
        """Read from the store, and keep in the cache what nobody wrote meanwhile."""
        collection = addresses[0][0]
        keys = [key for _, key in addresses]
        self._overlaps.enter(addresses, writing=False)
        try:
            start = monotonic()
            found = self.key_value.ttl_many(keys, collection=collection)
            took = monotonic() - start
            copies: dict[str, tuple[dict[str, Any], float]] = {}
            for address, (value, seconds) in zip(addresses, found, strict=True):
                ttl = self.missing_ttl if value is None else self.maximum_ttl
                if seconds is not None and ttl is not None:
                    ttl = min(seconds - took, ttl)  # as it may be by now
                if ttl is not None and ttl > 0 and self._overlaps.alone(address):
                    copies[address[1]] = (_ABSENT if value is None else {"value": value}), ttl
            if copies:
                self._keep(collection, copies)
        finally:
            self._leave(addresses, writing=False)
        return {
            address: None if value is None else codec.encode_value(value)
            for address, (value, _) in zip(addresses, found, strict=True)
        }

    def _keep(self, collection: str, copies: dict[str, tuple[dict[str, Any], float]]) -> None:
        values = [value for value, _ in copies.values()]
        try:
            self.cache.put_many(list(copies), values, collection=collection, ttl=[ttl for _, ttl in copies.values()])
        except BaseException as error:
            if not (isinstance(error, BaseKeyValueError) and error.outcome == "not_applied"):
                self._overlaps.distrust([(collection, key) for key in copies])  # they may land yet
            if not isinstance(error, BaseKeyValueError):
                raise
            _logger.warning("The cache cannot be written: %s", type(error).__name__)

    # Writes ---------------------------------------------------------------------------------------------------------

    @override
    def _around(self, call: Call[T]) -> T:
        if not call.operation.writes or call.name == "cull":
            return call(self.key_value)
        if call.name in ("destroy", "destroy_collection"):
            return self._destroy(call)
        addresses = self._addresses(call)
        if not addresses:
            return call(self.key_value)
        self._overlaps.enter(addresses, writing=True)
        try:
            try:
                self._remove(addresses)
            except BaseKeyValueError as error:
                raise _not_made(error) from error.__cause__
            try:
                return call(self.key_value)
            finally:
                for address in addresses:
                    self._flights.forget(address)
                self._forget(addresses)
        finally:
            self._leave(addresses, writing=True)

    def _leave(self, addresses: Sequence[Address], *, writing: bool) -> None:
        purge = self._overlaps.leave(addresses, writing=writing)
        if purge:
            removed = False
            try:
                removed = self._forget(purge)
            finally:
                self._overlaps.purged(purge, writing=writing, removed=removed)

    def _remove(self, addresses: Sequence[Address]) -> None:
        self.cache.delete_many([key for _, key in addresses], collection=addresses[0][0])
        self._overlaps.trust(addresses)

    def _forget(self, addresses: Sequence[Address]) -> bool:
        """Remove copies; those that may be left are not read any more."""
        try:
            self._remove(addresses)
        except BaseException as error:
            self._overlaps.distrust(addresses)
            if not isinstance(error, BaseKeyValueError):
                raise
            _logger.warning("A cached copy cannot be removed, and is not read any more: %s", type(error).__name__)
            return False
        return True

    def _destroy(self, call: Call[T]) -> T:
        since = self._overlaps.enter_all()
        removed = False
        try:
            if call.name in capabilities(self.cache):
                try:
                    call(self.cache)
                except BaseKeyValueError as error:
                    raise _not_made(error) from error.__cause__
            try:
                return call(self.key_value)
            finally:
                self._flights.forget_all()
                removed = self._forget_all(call)
        finally:
            self._overlaps.leave_all(removed=removed, since=since if call.name == "destroy" else None)

    def _forget_all(self, call: Call[Any]) -> bool:
        if call.name not in capabilities(self.cache):
            return False
        try:
            call(self.cache)
        except BaseKeyValueError as error:
            _logger.warning("Cached copies cannot be destroyed, and are not read any more: %s", type(error).__name__)
            return False
        return True


def _not_made(error: BaseKeyValueError) -> BaseKeyValueError:
    """Return the cache's error as that of a write which was not made, whatever became of the cached copies."""
    if isinstance(error, PartialFailureError):
        error = next(iter([*error.failed.values(), *error.unknown.values()]), error)
    error.outcome = "not_applied"
    return error
