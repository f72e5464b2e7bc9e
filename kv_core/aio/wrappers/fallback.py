"""Fall back to a second store when the first cannot answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.capabilities import capabilities
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    PartialFailureError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.options import error_types
from kv_core.overlaps import Address, Ahead, Overlaps
from kv_core.spellings import also
from kv_core.ttl import Keep

_logger = logging.getLogger(__name__)
_READS: Final = frozenset(("get", "get_many", "ttl", "ttl_many"))
_PLAIN_WRITES: Final = frozenset(("put", "put_many", "delete", "delete_many"))


class FallbackWrapper(CallWrapper):
    """Read from a second store what the first cannot answer, and never anything older than what was written last.

    Each write removes the fallback's copy, writes the primary, and then the copy; while the primary is down, writes
    fail. So what this instance has acknowledged is never taken back by a copy from before. (Another process that
    writes to the same primary through a fallback of its own knows nothing of this one's copies: give copies a ttl.
    And a fallback has to be one whose writes do not land long after they failed.)
    """

    @also(primary_key_value="primary", key_value="primary", store="primary", fallback_key_value="fallback")
    def __init__(
        self,
        primary: AsyncKeyValue,
        fallback: AsyncKeyValue,
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
            write_to_fallback: For caches: while the primary is down, put and delete in the fallback alone, where
                delete says what the fallback had. This instance then reads such keys, 10,000 at most, from the
                fallback until the primary was written again; others, and this one after a restart, see what the
                primary has. What the fallback loses is lost, and so may be what several wrote to one key at once.
            on_miss: What to do when the fallback has no copy either: `"raise"` the primary's error, or for caches
                `"miss"`.

        Raises:
            ConfigurationError: An option is not known.
        """
        if on_miss not in ("raise", "miss"):
            raise ConfigurationError(f"FallbackWrapper: on_miss is 'raise' or 'miss', not {on_miss!r}.")
        self.key_value = primary
        self.fallback = fallback
        self.fallback_on = error_types(fallback_on, "FallbackWrapper: fallback_on")
        self.write_to_fallback = write_to_fallback
        self.on_miss = on_miss
        self._overlaps = Overlaps()
        self._ahead = Ahead()

    @override
    def _stores(self) -> Sequence[object]:
        return self.key_value, self.fallback

    @override
    async def _around(self, call: Call[T]) -> T:
        if call.name in _READS:
            return await self._read(call)
        if call.name in ("destroy", "destroy_collection"):
            return await self._destroy(call)
        if call.operation.writes and call.name != "cull":
            return await self._write(call)
        if call.name == "get_with_revision" and self._ahead and self._ahead.any(self._addresses(call)):
            return await self._write(call)  # which brings the primary up to date first
        return await call(self.key_value)

    # Reads ----------------------------------------------------------------------------------------------------------

    async def _read(self, call: Call[T]) -> T:
        if self._ahead and self._ahead.any(self._addresses(call)):
            return cast("T", await self._read_ahead(call))
        try:
            return await call(self.key_value)
        except self.fallback_on as error:
            return await self._read_copy(call, error)
        except PartialFailureError as error:
            return cast("T", await self._read_apart(call, error))

    async def _read_apart(self, call: Call[Any], error: PartialFailureError) -> list[Any]:
        """Read copies of the keys whose server is down, and the others from the primary again."""
        errors = {**error.failed, **error.unknown}
        lost = [key for key in call.keys if key in errors]
        if not lost or not all(isinstance(one, self.fallback_on) for one in errors.values()):
            raise error
        copied: list[Any] = await self._read_copy(Call(call.name, (lost,), call.options), error)
        there = [key for key in call.keys if key not in errors]
        asked: list[Any] = await self._read(Call(call.name, (there,), call.options)) if there else []
        copies, found = iter(copied), iter(asked)
        return [next(copies if key in errors else found) for key in call.keys]

    async def _read_copy(self, call: Call[T], error: Exception) -> T:
        addresses = self._addresses(call)
        trusted = [address for address in addresses if self._overlaps.trusted(address)]
        if len(trusted) < len(addresses) and self.on_miss == "raise":
            raise error
        try:
            found = await _placed(call, addresses)(self.fallback)
        except BaseKeyValueError:
            raise error from None
        if len(trusted) < len(addresses):
            found = _without(call, found, {key for _, key in addresses} - {key for _, key in trusted})
        if self.on_miss == "raise" and (call.hits(found) or 0) < len(call.keys):
            raise error
        return found

    async def _read_ahead(self, call: Call[Any]) -> Any:
        """Read keys that were written to the fallback alone."""
        if call.operation.bulk:
            single = "get" if call.name == "get_many" else "ttl"
            return [await self._read(Call[Any](single, (key,), call.options)) for key in call.keys]
        addresses = self._addresses(call)
        found = await _placed(call, addresses)(self.fallback)
        return found if self._ahead.any(addresses) else await self._read(call)  # the primary has it by now

    # Writes ---------------------------------------------------------------------------------------------------------

    async def _write(self, call: Call[T]) -> T:
        addresses = self._addresses(call)
        if not addresses:
            return await call(self.key_value)
        self._overlaps.enter(addresses, writing=True)
        try:
            if call.name not in _PLAIN_WRITES:
                await self._catch_up(addresses)
            behind = [address for address in addresses if not self._ahead.number(address)]
            removed = await self._forget(behind)
            try:
                result = await call(self.key_value)
            except self.fallback_on as error:
                return cast("T", await self._write_ahead(call, addresses, removed, error))
            except PartialFailureError as error:
                await self._caught_up(_succeeded(error, addresses))
                raise
            if len(behind) < len(addresses):
                await self._caught_up(addresses)
            await self._copy(call, addresses, result)
            return result
        finally:
            await self._leave(addresses)

    async def _caught_up(self, addresses: Sequence[Address]) -> None:
        """Note that the primary has these as they were written last, whatever the fallback has."""
        self._ahead.remove(addresses)
        await self._forget(addresses)

    async def _leave(self, addresses: Sequence[Address]) -> None:
        purge = self._overlaps.leave(addresses, writing=True)
        if purge:
            removed = False
            try:
                behind = [address for address in purge if not self._ahead.number(address)]
                removed = await self._forget(behind) is not None
            finally:
                self._overlaps.purged(purge, writing=True, removed=removed)

    async def _forget(self, addresses: Sequence[Address]) -> int | None:
        """Remove copies, and return how many there were; those that may be left (None) are not read any more."""
        if not addresses:
            return 0
        try:
            removed = await self.fallback.delete_many([key for _, key in addresses], collection=addresses[0][0])
        except BaseException as error:
            self._overlaps.distrust(addresses)
            if not isinstance(error, BaseKeyValueError):
                raise
            return None
        self._overlaps.trust(addresses)
        return removed

    async def _copy(self, call: Call[Any], addresses: Sequence[Address], result: Any) -> None:
        """Keep in the fallback what was just written to the primary, if nobody else is writing it."""
        ttl = call.options.get("ttl")
        if not call.operation.writes_value or call.name == "increment" or result is False or isinstance(ttl, Keep):
            return
        if not all(map(self._overlaps.alone, addresses)):
            return
        options = {"collection": addresses[0][0], "ttl": ttl}
        put: Call[None] = Call("put_many" if call.operation.bulk else "put", call.arguments[:2], options)
        try:
            await put(self.fallback)
        except BaseException as error:
            if not (isinstance(error, BaseKeyValueError) and error.outcome == "not_applied"):
                self._overlaps.distrust(addresses)  # it may land yet, perhaps after a later one
            if not isinstance(error, BaseKeyValueError):
                raise
            _logger.debug("A copy was not kept: %s", type(error).__name__)
        else:
            self._overlaps.trust(addresses)

    # Writes to the fallback alone -------------------------------------------------------------------------------------

    async def _write_ahead(
        self, call: Call[Any], addresses: Sequence[Address], removed: int | None, error: Exception
    ) -> Any:
        """Write to the fallback what the primary could not take, or raise the primary's *error*."""
        if not (self.write_to_fallback and call.name in _PLAIN_WRITES and self._ahead.has_room(addresses)):
            raise error
        try:
            result = await _placed(call, addresses)(self.fallback)
        except BaseKeyValueError as second:
            if isinstance(second, PartialFailureError):
                self._ahead.add(_succeeded(second, addresses))
            if not (isinstance(error, BaseKeyValueError) and error.outcome == "not_applied"):
                second.outcome = "unknown"
            raise
        self._ahead.add(addresses)
        return type(result)(result + (removed or 0)) if result is not None else result  # what was removed was deleted

    async def _catch_up(self, addresses: Sequence[Address]) -> None:
        """Bring the primary up to what was written to the fallback alone."""
        for address in addresses:
            while number := self._ahead.number(address):
                collection, key = address
                value, ttl = await self.fallback.ttl(key, collection=collection)
                if value is None:
                    await self.key_value.delete(key, collection=collection)
                else:
                    await self.key_value.put(key, value, collection=collection, ttl=ttl)
                self._ahead.catch_up(address, number)

    async def _destroy(self, call: Call[T]) -> T:
        since = self._overlaps.enter_all()
        removed = False
        try:
            if not self._ahead:
                removed = await self._forget_all(call)
            result = await call(self.key_value)
            if self._ahead:  # those copies were all there was, as long as the primary was not destroyed
                self._ahead.remove_all(call.collection)
                removed = await self._forget_all(call)
            return result
        finally:
            self._overlaps.leave_all(removed=removed, since=since if call.name == "destroy" else None)

    async def _forget_all(self, call: Call[Any]) -> bool:
        if call.name not in capabilities(self.fallback):
            return False
        try:
            await call(self.fallback)
        except BaseKeyValueError as error:
            _logger.warning("Copies could not be destroyed, and are not read any more: %s", type(error).__name__)
            return False
        return True


def _placed(call: Call[T], addresses: Sequence[Address]) -> Call[T]:
    """Return a call that names its collection: stores may have different default ones."""
    return Call(call.name, call.arguments, {**call.options, "collection": addresses[0][0]})


def _succeeded(error: PartialFailureError, addresses: Sequence[Address]) -> list[Address]:
    return [address for address in addresses if address[1] in error.succeeded]


def _without(call: Call[Any], found: Any, keys: set[str]) -> Any:
    """Return what a read found, with these keys as misses."""
    nothing = (None, None) if call.name in ("ttl", "ttl_many") else None
    if not call.operation.bulk:
        return nothing
    return [nothing if key in keys else one for key, one in zip(call.keys, found, strict=True)]
