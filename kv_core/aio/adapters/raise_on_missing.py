"""Raise where there is no entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from kv_core.address import check_keys
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.errors import MissingKeyError
from kv_core.spellings import also

Value = dict[str, Any]
Found = tuple[Value | None, float | None]


class RaiseOnMissingAdapter:
    """A store whose reads raise `MissingKeyError`, a `KeyError`, instead of answering None."""

    @also(store="key_value")
    def __init__(self, key_value: AsyncKeyValue) -> None:
        """Adapt a store.

        Args:
            key_value: The store.
        """
        self.key_value = key_value

    @overload
    async def get(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[True] = True
    ) -> Value: ...
    @overload
    async def get(self, key: str, *, collection: str | None = None, raise_on_missing: bool) -> Value | None: ...
    async def get(self, key: str, *, collection: str | None = None, raise_on_missing: bool = True) -> Value | None:
        """Return the value.

        Raises:
            MissingKeyError: There is none, and *raise_on_missing* is not False.
        """
        value = await self.key_value.get(key, collection=collection)
        if value is None and raise_on_missing:
            raise _missing([key], collection)
        return value

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[True] = True
    ) -> list[Value]: ...
    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool
    ) -> list[Value | None]: ...
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool = True
    ) -> list[Value] | list[Value | None]:
        """Return the values, in the order of the keys.

        Raises:
            MissingKeyError: One is missing, and *raise_on_missing* is not False; the text names all that are.
        """
        check_keys(keys)
        found = await self.key_value.get_many(keys, collection=collection)
        missing = [key for key, value in zip(keys, found, strict=True) if value is None]
        if missing and raise_on_missing:
            raise _missing(missing, collection)
        return found

    @overload
    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[True] = True
    ) -> tuple[Value, float | None]: ...
    @overload
    async def ttl(self, key: str, *, collection: str | None = None, raise_on_missing: bool) -> Found: ...
    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: bool = True
    ) -> tuple[Value, float | None] | Found:
        """Return the value and the seconds it has left (None: no expiry).

        Raises:
            MissingKeyError: There is none, and *raise_on_missing* is not False.
        """
        found = await self.key_value.ttl(key, collection=collection)
        if found[0] is None and raise_on_missing:
            raise _missing([key], collection)
        return found

    @overload
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[True] = True
    ) -> list[tuple[Value, float | None]]: ...
    @overload
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool
    ) -> list[Found]: ...
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool = True
    ) -> list[tuple[Value, float | None]] | list[Found]:
        """Return what `ttl` returns for each key.

        Raises:
            MissingKeyError: One is missing, and *raise_on_missing* is not False; the text names all that are.
        """
        check_keys(keys)
        found = await self.key_value.ttl_many(keys, collection=collection)
        missing = [key for key, (value, _) in zip(keys, found, strict=True) if value is None]
        if missing and raise_on_missing:
            raise _missing(missing, collection)
        return found

    async def put(self, key: str, value: Value, *, collection: str | None = None, ttl: float | None = None) -> None:
        """Keep a value, for *ttl* seconds or without end."""
        await self.key_value.put(key, value, collection=collection, ttl=ttl)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Value],
        *,
        collection: str | None = None,
        ttl: Sequence[float | None] | float | None = None,
    ) -> None:
        """Keep a value for each key."""
        await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Delete the entry, and return whether there was one."""
        return await self.key_value.delete(key, collection=collection)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Delete the entries, and return how many there were."""
        return await self.key_value.delete_many(keys, collection=collection)


def _missing(keys: Sequence[str], collection: str | None) -> MissingKeyError:
    where = "the default collection" if collection is None else f"{collection!r}"
    what = "is no entry" if len(keys) == 1 else "are no entries"
    names = ", ".join(map(repr, keys))
    return MissingKeyError(f"There {what} {names} in {where}.", key=keys[0], collection=collection)
