# Written by tools/mirror.py from kv_core/aio/wrappers/single_collection.py: change that file instead.
"""Keep everything in one collection of the store."""

from __future__ import annotations

from typing_extensions import override

from kv_core import address as addresses
from kv_core.address import check_collection
from kv_core.errors import ConfigurationError, InvalidCollectionError
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._names import Address, NameWrapper


class SingleCollectionWrapper(NameWrapper):
    """Keep the entry `123` of the collection `users` as `users::123` of one collection.

    Collections stay distinct inside it: the name is written as stores write theirs, so no two addresses share one.
    """

    @also(store="key_value", single_collection="collection")
    def __init__(self, key_value: KeyValue, collection: str, default_collection: str | None = None) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            collection: The store's collection in which everything is kept.
            default_collection: Where an entry goes when no collection is named; by default the store's own.

        Raises:
            ConfigurationError: One of them cannot be a collection.
        """
        self.key_value = key_value
        try:
            check_collection(collection)
            if default_collection is not None:
                check_collection(default_collection)
        except InvalidCollectionError as error:
            raise ConfigurationError(f"SingleCollectionWrapper: {error}") from error
        self.collection = collection
        self._default_collection = default_collection

    @property
    @override
    def default_collection(self) -> str:
        return self._default_collection or super().default_collection

    @override
    def _name(self, address: Address) -> Address:
        return self.collection, addresses.encode(*address)

    @override
    def _original(self, address: Address) -> Address | None:
        collection, key = address
        return addresses.decode(key) if collection == self.collection else None

    @override
    def _inner_collections(self) -> list[str]:
        return [self.collection]
