# Written by tools/mirror.py from kv_core/aio/wrappers/fallback.py: change that file instead.
"""Fall back to a second store when the first cannot answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from typing_extensions import override

from kv_core.capabilities import capabilities
from kv_core.errors import BaseKeyValueError, ConfigurationError, StoreConnectionError, StoreTimeoutError
from kv_core.overlaps import Address, Overlaps
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T
from kv_core.ttl import Keep

_logger = logging.getLogger(__name__)
_READS: Final = frozenset(("get", "get_many", "ttl", "ttl_many"))
_PLAIN_WRITES: Final = frozenset(("put", "put_many", "delete", "delete_many"))
_AHEAD: Final = 10_000


class FallbackWrapper(CallWrapper):
    """Read from a second store what the first cannot answer, and never anything older than what was written last.

    Each write removes the fallback's copy, writes the primary, and then the copy; while the primary is down, writes
    fail. So what this instance has acknowledged is never taken back by a copy from before. (Another process that
    writes to the same primary through a fallback of its own knows nothing of this one's copies: give copies a ttl.)
    """

    @also(primary_key_value="primary", key_value="primary", store="primary", fallback_key_value="fallback")
    def __init__(
        self,
        primary: KeyValue,
        fallback: KeyValue,
        *,
        fallback_on: tuple[type[Exception], ...] = (StoreConnectionError, StoreTimeoutError),
        write_to_fallback: bool = False,
        on_miss: Literal["raise", "miss"] = "raise",
    ) -> None:
        """Wrap two stores.

        Args:
            primary: The store that is asked first, and whose answers count.
            fallback: The store that holds copies.
            fallback_on: The errors after which the fallback is asked; others pass.
            write_to_fallback: For caches: while the primary is down, put and delete in the fallback alone. This
                instance then reads such keys from the fallback until they are written again; others, and this one
                after a restart, see what the primary has, and when the fallback loses them they are lost.
            on_miss: What to do when the fallback has no copy either: `"raise"` the primary's error, or for caches
                `"miss"`.

        Raises:
            ConfigurationError: An option is not known.
        """
        if on_miss not in ("raise", "miss"):
            raise ConfigurationError(f"FallbackWrapper: on_miss is 'raise' or 'miss', not {on_miss!r}.")
        self.key_value = primary
        self.fallback = fallback
        self.fallback_on = fallback_on
        self.write_to_fallback = write_to_fallback
        self.on_miss = on_miss
        self._overlaps = Overlaps()
        self._ahead: set[Address] = set()

    @override
    def close(self) -> None:
        try:
            super().close()
        finally:
            close = getattr(self.fallback, "close", None)
            if close is not None:
                close()

    @override
    def _around(self, call: Call[T]) -> T:
        if call.name in _READS:
            return self._read(call)
        if call.name in ("destroy", "destroy_collection"):
            return self._destroy(call)
        if call.operation.writes and call.name != "cull":
            return self._write(call)
        return call(self.key_value)

    # Reads ----------------------------------------------------------------------------------------------------------

    def _read(self, call: Call[T]) -> T:
        if self._ahead and not self._ahead.isdisjoint(self._addresses(call)):
            return cast("T", self._read_ahead(call))
        try:
            return call(self.key_value)
        except self.fallback_on as error:
            return self._read_copy(call, error)

    def _read_copy(self, call: Call[T], error: Exception) -> T:
        addresses = self._addresses(call)
        trusted = [address for address in addresses if self._overlaps.trusted(address)]
        if len(trusted) < len(addresses) and self.on_miss == "raise":
            raise error
        try:
            found = call(self.fallback)
        except BaseKeyValueError:
            raise error from None
        if len(trusted) < len(addresses):
            found = _without(call, found, {key for _, key in addresses} - {key for _, key in trusted})
        if self.on_miss == "raise" and (call.hits(found) or 0) < len(call.keys):
            raise error
        return found

    def _read_ahead(self, call: Call[Any]) -> Any:
        """Read keys that were written to the fallback alone."""
        if not call.operation.bulk:
            return call(self.fallback)
        single = "get" if call.name == "get_many" else "ttl"
        return [self._read(Call[Any](single, (key,), call.options)) for key in call.keys]

    # Writes ---------------------------------------------------------------------------------------------------------

    def _write(self, call: Call[T]) -> T:
        addresses = self._addresses(call)
        if not addresses:
            return call(self.key_value)
        self._overlaps.enter(addresses, writing=True)
        try:
            self._forget(addresses)
            try:
                result = call(self.key_value)
            except self.fallback_on:
                if not (self.write_to_fallback and call.name in _PLAIN_WRITES):
                    raise
                result = call(self.fallback)
                self._go_ahead(addresses)
            else:
                self._ahead.difference_update(addresses)
                self._copy(call, addresses, result)
            return result
        finally:
            self._leave(addresses)

    def _leave(self, addresses: Sequence[Address]) -> None:
        purge = self._overlaps.leave(addresses, writing=True)
        if purge:
            removed = False
            try:
                removed = self._forget(purge)
            finally:
                self._overlaps.purged(purge, writing=True, removed=removed)

    def _forget(self, addresses: Sequence[Address]) -> bool:
        """Remove copies; those that may be left are not read any more."""
        try:
            self.fallback.delete_many([key for _, key in addresses], collection=addresses[0][0])
        except BaseException as error:
            self._overlaps.distrust(addresses)
            if not isinstance(error, BaseKeyValueError):
                raise
            return False
        self._overlaps.trust(addresses)
        return True

    def _copy(self, call: Call[Any], addresses: Sequence[Address], result: Any) -> None:
        """Keep in the fallback what was just written to the primary, if nobody else is writing it."""
        ttl = call.options.get("ttl")
        if not call.operation.writes_value or call.name == "increment" or result is False or isinstance(ttl, Keep):
            return
        if not all(map(self._overlaps.alone, addresses)):
            return
        try:
            if call.operation.bulk:
                self.fallback.put_many(*call.arguments, **call.options)
            else:
                self.fallback.put(*call.arguments[:2], **call.options)
        except BaseKeyValueError as error:
            _logger.debug("A copy was not kept: %s", type(error).__name__)
        else:
            self._overlaps.trust(addresses)

    def _go_ahead(self, addresses: Sequence[Address]) -> None:
        self._ahead.update(addresses)
        while len(self._ahead) > _AHEAD:
            self._ahead.pop()

    def _destroy(self, call: Call[T]) -> T:
        self._overlaps.enter_all()
        removed = False
        try:
            if call.name in capabilities(self.fallback):
                try:
                    call(self.fallback)
                    removed = True
                except BaseKeyValueError as error:
                    _logger.warning(
                        "Copies could not be destroyed, and are not read any more: %s", type(error).__name__
                    )
            result = call(self.key_value)
            self._ahead.clear()
            return result
        finally:
            self._overlaps.leave_all(removed=removed)


def _without(call: Call[Any], found: Any, keys: set[str]) -> Any:
    """Return what a read found, with these keys as misses."""
    nothing = (None, None) if call.name in ("ttl", "ttl_many") else None
    if not call.operation.bulk:
        return nothing
    return [nothing if key in keys else one for key, one in zip(call.keys, found, strict=True)]
