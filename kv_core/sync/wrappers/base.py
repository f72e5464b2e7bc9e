# Written by tools/mirror.py from kv_core/aio/wrappers/base.py: change that file instead.
"""The wrapper that changes nothing: the base of every other.

Whoever overrides `get`, `put` or `delete` answers for everything that reads, writes or deletes values: what it does
not override as well goes through the overridden method (`get_many`, `put_many`, …) or is withdrawn (`put_if_absent`,
`increment`, …), so that no value passes by a side door.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from typing_extensions import override

from kv_core.address import check_collection, check_keys
from kv_core.capabilities import BASIC, OPERATIONS, capabilities, is_withdrawn, unsupported, withdrawn
from kv_core.checks import check_values
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError, PartialFailureError, UnsupportedOperationError
from kv_core.sync.protocols import KeyValue, Store
from kv_core.ttl import KEEP, KeptTTL, TTLs, each_ttl


class BaseWrapper(Store):
    """Pass every operation to `key_value`, the wrapped store.

    To make a wrapper of your own, override the operations that it is about and set `key_value`.
    Three bases do more of the work: `NameWrapper` changes where an entry lives, `ValueWrapper` what is stored,
    and `CallWrapper` how every operation is made.
    """

    key_value: KeyValue
    _whole: ClassVar[set[type]] = set()

    @override
    def __init_subclass__(cls, *, whole: bool = False, **options: Any) -> None:
        """Close the side doors of a wrapper, unless it says that it answers for every operation as it is (*whole*)."""
        super().__init_subclass__(**options)
        if whole:
            cls._whole.add(cls)
        _close_side_doors(cls)

    @property
    @override
    def default_collection(self) -> str:
        return getattr(self.key_value, "default_collection", "default_collection")

    def _capabilities(self) -> frozenset[str]:
        kept = capabilities(self.key_value)
        return frozenset(name for name in kept if not is_withdrawn(type(self), name))

    def _resolve(self, collection: str | None) -> str:
        """Return the collection that is meant, checked."""
        if collection is None:
            return self.default_collection
        check_collection(collection)
        return collection

    def _require(self, operation: str) -> None:
        """Raise the error for an operation that this wrapper withdraws."""
        if operation not in self._capabilities():
            raise unsupported(self, operation)

    def _inner(self, operation: str) -> Store:
        """Return the wrapped store if it has *operation*, which is none of the basic ones."""
        inner: object = self.key_value
        if not hasattr(inner, operation):
            raise unsupported(self, operation)
        return cast("Store", inner)

    @override
    def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return self.key_value.get(key, collection=collection)

    @override
    def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return self.key_value.get_many(keys, collection=collection)

    @override
    def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return self.key_value.ttl(key, collection=collection)

    @override
    def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return self.key_value.ttl_many(keys, collection=collection)

    @override
    def put(self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None) -> None:
        self.key_value.put(key, value, collection=collection, ttl=ttl)

    @override
    def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[dict[str, Any]],
        *,
        collection: str | None = None,
        ttl: TTLs = None,
    ) -> None:
        self.key_value.put_many(keys, values, collection=collection, ttl=ttl)

    @override
    def delete(self, key: str, *, collection: str | None = None) -> bool:
        return self.key_value.delete(key, collection=collection)

    @override
    def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return self.key_value.delete_many(keys, collection=collection)

    @override
    def put_if_absent(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return self._inner("put_if_absent").put_if_absent(key, value, collection=collection, ttl=ttl)

    @override
    def put_if_present(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> bool:
        return self._inner("put_if_present").put_if_present(key, value, collection=collection, ttl=ttl)

    @override
    def get_with_revision(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any], Revision] | None:
        return self._inner("get_with_revision").get_with_revision(key, collection=collection)

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
        inner = self._inner("put_if_unchanged")
        return inner.put_if_unchanged(key, value, revision, collection=collection, ttl=ttl)

    @override
    def delete_if_unchanged(self, key: str, revision: Revision, *, collection: str | None = None) -> bool:
        return self._inner("delete_if_unchanged").delete_if_unchanged(key, revision, collection=collection)

    @override
    def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        return self._inner("touch").touch(key, ttl=ttl, collection=collection)

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
        return self._inner("increment").increment(key, amount, collection=collection, initial=initial, ttl=ttl)

    @override
    def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return self._inner("keys").keys(collection, limit=limit)

    @override
    def iter_keys(self, collection: str | None = None) -> Iterator[str]:
        return self._inner("iter_keys").iter_keys(collection)

    @override
    def collections(self, *, limit: int | None = None) -> list[str]:
        return self._inner("collections").collections(limit=limit)

    @override
    def destroy_collection(self, collection: str) -> bool:
        return self._inner("destroy_collection").destroy_collection(collection)

    @override
    def destroy(self) -> bool:
        return self._inner("destroy").destroy()

    @override
    def cull(self) -> int:
        return self._inner("cull").cull()

    @override
    def ping(self) -> float:
        return self._inner("ping").ping()

    def _stores(self) -> Sequence[object]:
        """Return the stores that are entered and closed with this wrapper."""
        return (self.key_value,)

    @override
    def close(self) -> None:
        close_all(*self._stores())

    def __enter__(self) -> Self:
        try:
            for store in {id(store): store for store in self._stores()}.values():
                enter = getattr(store, "__enter__", None)
                if enter is not None:
                    enter()
        except BaseException:
            self.close()  # what was entered before
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r})"


def close_all(*stores: object) -> None:
    """Close stores in turn, each once, and those that follow also when one fails."""
    first, *others = {id(store): store for store in stores}.values()
    try:
        close = getattr(first, "close", None)
        if close is not None:
            close()
    finally:
        if others:
            close_all(*others)


# No side doors --------------------------------------------------------------------------------------------------------


def _close_side_doors(cls: type[BaseWrapper]) -> None:
    """Lead the operations that *cls* answers for, but does not override, through those that it does."""
    for operation in OPERATIONS.values():
        if operation.name in BASIC:
            if operation.through is not None and _overrides(cls, operation.through, operation.name):
                setattr(cls, operation.name, _THROUGH[operation.name])
        elif (
            (operation.reads_value and _overrides(cls, "get", operation.name))
            or (operation.writes_value and _overrides(cls, "put", operation.name))
            or (operation.name == "delete_if_unchanged" and _overrides(cls, "delete", operation.name))
        ):
            setattr(cls, operation.name, withdrawn(operation.name))


def _overrides(cls: type[BaseWrapper], basic: str, other: str) -> bool:
    """Say whether *basic* was overridden nearer to *cls* than *other*."""
    for ancestor in cls.__mro__:
        if other in ancestor.__dict__:
            return False
        if basic in ancestor.__dict__:
            return ancestor not in BaseWrapper._whole  # pyright: ignore[reportPrivateUsage] - of this module
    return False


def _get_many(self: BaseWrapper, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
    check_keys(keys)
    return [self.get(key, collection=collection) for key in keys]


def _ttl(self: BaseWrapper, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
    value = self.get(key, collection=collection)
    if value is None:
        return None, None
    return value, (self.key_value.ttl(key, collection=collection))[1]


def _ttl_many(
    self: BaseWrapper, keys: Sequence[str], *, collection: str | None = None
) -> list[tuple[dict[str, Any] | None, float | None]]:
    check_keys(keys)
    return [self.ttl(key, collection=collection) for key in keys]


def _put_many(
    self: BaseWrapper,
    keys: Sequence[str],
    values: Sequence[dict[str, Any]],
    *,
    collection: str | None = None,
    ttl: TTLs = None,
) -> None:
    check_keys(keys)
    check_values(keys, values)
    ttls = each_ttl(ttl, len(keys))
    bulk = _Bulk("put_many", collection)
    for key, value, seconds in zip(keys, values, ttls, strict=True):
        try:
            self.put(key, value, collection=collection, ttl=seconds)
        except BaseKeyValueError as error:
            bulk.fail(key, error)
        else:
            bulk.succeeded.append(key)
    bulk.finish()


def _delete_many(self: BaseWrapper, keys: Sequence[str], *, collection: str | None = None) -> int:
    check_keys(keys)
    deleted = 0
    bulk = _Bulk("delete_many", collection)
    for key in dict.fromkeys(keys):
        try:
            deleted += self.delete(key, collection=collection)
        except BaseKeyValueError as error:
            bulk.fail(key, error)
        else:
            bulk.succeeded.append(key)
    bulk.finish()
    return deleted


class _Bulk:
    """How the items of a bulk operation ended that was made one by one."""

    def __init__(self, operation: str, collection: str | None) -> None:
        self.operation, self.collection = operation, collection
        self.succeeded: list[str] = []
        self.failed: dict[str, BaseKeyValueError] = {}
        self.unknown: dict[str, BaseKeyValueError] = {}

    def fail(self, key: str, error: BaseKeyValueError) -> None:
        if isinstance(error, UnsupportedOperationError) and not (self.succeeded or self.unknown):
            raise error  # that is said of the stack, not of a key
        (self.unknown if error.outcome == "unknown" else self.failed)[key] = error

    def finish(self) -> None:
        errors = [*self.failed.values(), *self.unknown.values()]
        if not errors:
            return
        if len(errors) == 1 and not self.succeeded:
            raise errors[0]
        total = len(errors) + len(self.succeeded)
        message = f"{self.operation}: {len(errors)} of {total} keys failed; see .failed, .unknown and .succeeded."
        raise PartialFailureError(
            message, failed=self.failed, unknown=self.unknown, succeeded=self.succeeded, collection=self.collection
        ) from errors[0]


_THROUGH: dict[str, Any] = {
    "get_many": _get_many,
    "ttl": _ttl,
    "ttl_many": _ttl_many,
    "put_many": _put_many,
    "delete_many": _delete_many,
}
