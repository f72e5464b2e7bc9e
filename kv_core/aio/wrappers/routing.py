"""Send each collection to a store of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from typing_extensions import override

from kv_core.address import check_collection
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.capabilities import OPERATIONS, capabilities, unsupported
from kv_core.errors import ConfigurationError
from kv_core.spellings import also

_PLACED = frozenset(OPERATIONS) - {"collections", "destroy", "cull", "ping"}
"""The operations that are about one collection."""


class RoutingWrapper(CallWrapper):
    """Ask a function which store a collection is in.

    What is about all collections (`collections`, `destroy`, `cull`, `ping`) is withdrawn: the function's stores are
    not known. They are not closed either, but for the default one.
    """

    @also(default="default_store")
    def __init__(self, routing_function: Callable[[str], AsyncKeyValue | None], default_store: AsyncKeyValue) -> None:
        """Route by a function.

        Args:
            routing_function: Takes a collection (where none was named, the default store's default), and returns its
                store, or None.
            default_store: The store of collections for which the function returns None.

        Raises:
            ConfigurationError: *routing_function* cannot be called.
        """
        if not callable(routing_function):
            raise ConfigurationError("RoutingWrapper: routing_function is a function from a collection to its store.")
        self.key_value = default_store
        self.routing_function = routing_function

    @override
    def _capabilities(self) -> frozenset[str]:
        return super()._capabilities() & _PLACED

    def _route(self, collection: str) -> AsyncKeyValue:
        store = self.routing_function(collection)
        return self.key_value if store is None else store

    @override
    async def _around(self, call: Call[T]) -> T:
        if call.name not in _PLACED:
            raise unsupported(self, call.name)
        collection = self._collection(call)
        call = Call(call.name, call.arguments, {**call.options, "collection": collection})
        return await call(self._route(collection))

    def _collection(self, call: Call[T]) -> str:
        if call.name == "destroy_collection":
            check_collection(call.collection)  # it has no default
        return self._resolve(call.collection)

    @override
    def iter_keys(self, collection: str | None = None) -> AsyncIterator[str]:
        collection = self._resolve(collection)
        store: object = self._route(collection)
        iterate = getattr(store, "iter_keys", None)
        if iterate is None:
            raise unsupported(store, "iter_keys")
        keys: AsyncIterator[str] = iterate(collection)
        return keys


class CollectionRoutingWrapper(RoutingWrapper):
    """Look up in a mapping which store a collection is in. It has what all of its stores have."""

    @also(default="default_store")
    def __init__(self, collection_map: Mapping[str, AsyncKeyValue], default_store: AsyncKeyValue) -> None:
        """Route by a mapping.

        Args:
            collection_map: The store of each collection that is named.
            default_store: The store of all others; where a call names none, its default collection is meant.

        Raises:
            ConfigurationError: *collection_map* is not a mapping.
        """
        if not isinstance(collection_map, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
            raise ConfigurationError("CollectionRoutingWrapper: collection_map is a mapping of collections to stores.")
        self.collection_map = dict(collection_map)
        super().__init__(self._look_up, default_store)

    def _look_up(self, collection: str) -> AsyncKeyValue | None:
        return self.collection_map.get(collection)

    @override
    def _capabilities(self) -> frozenset[str]:
        return super()._capabilities().intersection(*[capabilities(store) for store in self.collection_map.values()])

    @override
    def _stores(self) -> Sequence[object]:
        return *self.collection_map.values(), self.key_value
