# Written by tools/mirror.py from kv_core/aio/wrappers/_calls.py: change that file instead.
"""The base of wrappers that change how every operation is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

from typing_extensions import override

from kv_core.address import check_key, check_keys
from kv_core.capabilities import ALL, OPERATIONS, Operation, unsupported
from kv_core.entry import Revision
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.ttl import KEEP, KeptTTL, TTLs

T = TypeVar("T")


@dataclass(slots=True)
class Call(Generic[T]):
    """An operation with its arguments, still to be made: it takes the store when it is called.

    Attributes:
        name: The operation's name.
        arguments: Its arguments by position: the key or keys first, where there are any.
        options: Its arguments by name; they are shown, so no values are among them.
    """

    name: str
    arguments: tuple[Any, ...] = field(repr=False, default=())
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def __call__(self, store: KeyValue) -> T:
        """Make the operation on *store*; a `CallWrapper` that does not override it takes this call as it is."""
        if self.name in getattr(store, "_plain", ()):
            return cast("CallWrapper", store)._around(self)  # pyright: ignore[reportPrivateUsage] - of this module
        operation = getattr(store, self.name, None)
        if operation is None:
            raise unsupported(store, self.name)
        result: T = operation(*self.arguments, **self.options)
        return result

    @property
    def operation(self) -> Operation:
        """What is known of the operation."""
        return OPERATIONS[self.name]

    @property
    def collection(self) -> str | None:
        """The collection that was named."""
        return self.options.get("collection")

    @property
    def keys(self) -> Sequence[str]:
        """The keys concerned."""
        if not self.arguments:
            return ()
        return self.arguments[0] if self.operation.bulk else self.arguments[:1]

    @property
    def key(self) -> str | None:
        """The one key concerned, where there is one."""
        known = OPERATIONS.get(self.name)
        if known is None or known.bulk or not self.arguments or type(self.arguments[0]) is not str:
            return None
        return self.arguments[0]

    @override
    def __str__(self) -> str:
        """Return how errors call it: the operation, and the key and the collection concerned."""
        key, collection = self.key, self.collection
        about = "" if key is None else f" of {key!r}"
        where = f" in {collection!r}" if type(collection) is str else ""
        return f"{self.name}{about}{where}"

    def hits(self, result: Any) -> int | None:
        """Return for how many keys *result* shows an entry, or None where it does not tell."""
        count = _HITS.get(self.name)
        return None if count is None else count(result)


_HITS: Final[dict[str, Callable[[Any], int]]] = {
    "get": lambda found: found is not None,
    "get_with_revision": lambda found: found is not None,
    "get_many": lambda found: sum([value is not None for value in found]),
    "ttl": lambda found: found[0] is not None,
    "ttl_many": lambda found: sum([value is not None for value, _ in found]),
    "delete": int,
    "delete_many": int,
    "touch": int,
}
"""For how many keys the result of an operation shows an entry, where it tells."""


class CallWrapper(BaseWrapper):
    """Act before, after or instead of every operation by overriding `_around` alone.

    `iter_keys` goes to the wrapped store as it is, since it is many calls.
    """

    _plain: ClassVar[frozenset[str]] = frozenset()
    """The operations that a subclass leaves as they are here."""

    @override
    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._plain = frozenset(name for name in ALL if getattr(cls, name) is getattr(CallWrapper, name))

    def _around(self, call: Call[T]) -> T:
        """Make *call*, or do something else in its place."""
        return call(self.key_value)

    def _addresses(self, call: Call[Any]) -> list[tuple[str, str]]:
        """Return the collection and key of everything that *call* is about, checked, each once."""
        collection = self._resolve(call.collection)
        keys = call.keys
        if not call.operation.bulk and keys:
            check_key(keys[0])
            return [(collection, keys[0])]
        check_keys(keys)
        return [(collection, key) for key in dict.fromkeys(keys)]

    @override
    def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return self._around(Call("get", (key,), {"collection": collection}))

    @override
    def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return self._around(Call("get_many", (keys,), {"collection": collection}))

    @override
    def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return self._around(Call("ttl", (key,), {"collection": collection}))

    @override
    def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return self._around(Call("ttl_many", (keys,), {"collection": collection}))

    @override
    def put(self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None) -> None:
        call: Call[None] = Call("put", (key, value), {"collection": collection, "ttl": ttl})
        self._around(call)

    @override
    def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        call: Call[None] = Call("put_many", (keys, values), {"collection": collection, "ttl": ttl})
        self._around(call)

    @override
    def delete(self, key: str, *, collection: str | None = None) -> bool:
        return self._around(Call("delete", (key,), {"collection": collection}))

    @override
    def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return self._around(Call("delete_many", (keys,), {"collection": collection}))

    @override
    def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return self._around(Call("put_if_absent", (key, value), {"collection": collection, "ttl": ttl}))

    @override
    def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return self._around(Call("put_if_present", (key, value), {"collection": collection, "ttl": ttl}))

    @override
    def get_with_revision(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any], Revision] | None:
        return self._around(Call("get_with_revision", (key,), {"collection": collection}))

    @override
    def put_if_unchanged(
        self,
        key: str,
        value: dict[str, Any],
        revision: Revision,
        *,
        collection: str | None = None,
        ttl: KeptTTL = KEEP,
    ) -> bool:
        options = {"collection": collection, "ttl": ttl}
        return self._around(Call("put_if_unchanged", (key, value, revision), options))

    @override
    def delete_if_unchanged(self, key: str, revision: Revision, *, collection: str | None = None) -> bool:
        return self._around(Call("delete_if_unchanged", (key, revision), {"collection": collection}))

    @override
    def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        return self._around(Call("touch", (key,), {"collection": collection, "ttl": ttl}))

    @override
    def increment(
        self,
        key: str,
        amount: int = 1,
        *,
        collection: str | None = None,
        initial: int | None = None,
        ttl: float | None = None,
    ) -> int:
        options = {"collection": collection, "initial": initial, "ttl": ttl}
        return self._around(Call("increment", (key, amount), options))

    @override
    def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return self._around(Call("keys", (), {"collection": collection, "limit": limit}))

    @override
    def iter_keys(self, collection: str | None = None) -> Iterator[str]:
        return self._inner("iter_keys").iter_keys(collection)

    @override
    def collections(self, *, limit: int | None = None) -> list[str]:
        return self._around(Call("collections", (), {"limit": limit}))

    @override
    def destroy_collection(self, collection: str) -> bool:
        return self._around(Call("destroy_collection", (), {"collection": collection}))

    @override
    def destroy(self) -> bool:
        return self._around(Call("destroy"))

    @override
    def cull(self) -> int:
        return self._around(Call("cull"))

    @override
    def ping(self) -> float:
        return self._around(Call("ping"))
