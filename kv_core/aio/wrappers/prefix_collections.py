"""Keep several users of one store apart by prefixing their collections."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._names import Address, NameWrapper, prefixed
from kv_core.spellings import also


class PrefixCollectionsWrapper(NameWrapper):
    """Keep the collection `users` as `prod:users`.

    `%`, `:` and the separator are percent-escaped in the prefix, so two wrappers of one store with different prefixes
    and the same separator never meet.
    """

    _by_collection: ClassVar[bool] = True

    @also(store="key_value")
    def __init__(self, key_value: AsyncKeyValue, prefix: str, separator: str = ":") -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            prefix: What to put before every collection.
            separator: What stands between the two.

        Raises:
            ConfigurationError: The prefix or the separator is empty, or not text that UTF-8 can encode.
        """
        self.key_value = key_value
        self.prefix = prefix
        self.separator = separator
        self._start = prefixed("PrefixCollectionsWrapper", prefix, separator)

    @override
    def _name(self, address: Address) -> Address:
        collection, key = address
        return self._start + collection, key

    @override
    def _original(self, address: Address) -> Address | None:
        collection, key = address
        rest = collection.removeprefix(self._start)
        return (rest, key) if rest and rest != collection else None
