"""Answer misses with a default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from typing_extensions import override

from kv_core import codec
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.errors import ConfigurationError, InvalidTTLError, SerializationError
from kv_core.spellings import also
from kv_core.ttl import check_ttl


class DefaultValueWrapper(BaseWrapper, whole=True):
    """Answer `get`, `get_many`, `ttl` and `ttl_many` with a default where there is no entry.

    Nothing is stored: `get_with_revision` and `increment` see that there is none.
    """

    _outside_encryption: ClassVar[str] = "would answer misses with what is not encrypted"

    @also(store="key_value")
    def __init__(
        self, key_value: AsyncKeyValue, default_value: dict[str, Any], default_ttl: float | None = None
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            default_value: What a missing entry is answered with; each answer is a copy.
            default_ttl: The ttl that such an answer is given, in seconds.

        Raises:
            ConfigurationError: The value or the ttl is not one that a store would keep.
        """
        self.key_value = key_value
        try:
            self._default = codec.encode_value(default_value)
            check_ttl(default_ttl)
        except (SerializationError, InvalidTTLError) as error:
            raise ConfigurationError(f"DefaultValueWrapper: {error}") from error
        self.default_ttl = default_ttl

    @property
    def default_value(self) -> dict[str, Any]:
        """A copy of the default."""
        return codec.decode_value(self._default)

    @override
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        value = await self.key_value.get(key, collection=collection)
        return self.default_value if value is None else value

    @override
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        found = await self.key_value.get_many(keys, collection=collection)
        return [self.default_value if value is None else value for value in found]

    @override
    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        value, seconds = await self.key_value.ttl(key, collection=collection)
        return (self.default_value, self.default_ttl) if value is None else (value, seconds)

    @override
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        found = await self.key_value.ttl_many(keys, collection=collection)
        return [(self.default_value, self.default_ttl) if value is None else (value, ttl) for value, ttl in found]
