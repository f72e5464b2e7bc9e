"""What the parts of the contract share: fixtures, a told clock, and a way to make any operation."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, TypeAlias

import pytest

from kv_core.aio._runtime import Op, sleep
from kv_core.aio.protocols import AsyncStore
from kv_core.capabilities import OPERATIONS, capabilities
from kv_core.entry import Revision
from kv_core.errors import UnsupportedOperationError

Make: TypeAlias = Callable[[], AsyncStore]
Advance: TypeAlias = Op[[float], None]

SHORT: Final = 0.2
"""A ttl that a test waits for, in seconds."""

KEYED: Final = (
    *("get", "get_many", "ttl", "ttl_many", "put", "put_many", "delete", "delete_many", "put_if_absent"),
    *("put_if_present", "get_with_revision", "put_if_unchanged", "delete_if_unchanged", "touch", "increment"),
)
"""The operations that take a key, or keys."""

PLACED: Final = (*KEYED, "keys", "iter_keys", "destroy_collection")
"""The operations that take a collection."""

NO_REVISION: Final = Revision("none")


class ToldClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = datetime(2025, 1, 1, tzinfo=UTC), monotonic: float = 1000.0) -> None:
        """Set both of its hands.

        Args:
            now: What the wall clock shows.
            monotonic: What the monotonic clock shows, in seconds.
        """
        self._start = now, monotonic
        self._gone = timedelta()

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return self._start[0] + self._gone

    def monotonic(self) -> float:
        """Return the monotonic clock's seconds."""
        return self._start[1] + self._gone.total_seconds()

    async def advance(self, seconds: float) -> None:
        """Go on by *seconds*, to the microsecond."""
        self._gone += timedelta(seconds=seconds)


class Contract:
    """The fixtures that every part asks for."""

    @pytest.fixture
    def make(self) -> Make | None:
        """Return a function that gives a handle to the backend of the test; override it, or `store`."""
        return None

    @pytest.fixture
    async def store(self, make: Make | None) -> AsyncIterator[AsyncStore]:
        """Give the store under test, and close it afterwards."""
        if make is None:
            pytest.fail("A subclass of StoreContract overrides the fixture `make`, or `store`.")
        store = make()
        yield store
        await store.close()

    @pytest.fixture
    def advance(self) -> Advance:
        """Return a function that lets seconds pass; override it where a clock can be told."""
        return sleep


async def call(store: AsyncStore, operation: str, key: Any = "key", collection: Any = None) -> object:
    """Make any operation of the protocol, about one key or collection."""
    method: Any = getattr(store, operation)
    value = {"n": 1}
    match operation:
        case "get" | "ttl" | "delete" | "get_with_revision":
            return await method(key, collection=collection)
        case "get_many" | "ttl_many" | "delete_many":
            return await method([key], collection=collection)
        case "put" | "put_if_absent" | "put_if_present":
            return await method(key, value, collection=collection)
        case "put_many":
            return await method([key], [value], collection=collection)
        case "put_if_unchanged":
            return await method(key, value, NO_REVISION, collection=collection)
        case "delete_if_unchanged":
            return await method(key, NO_REVISION, collection=collection)
        case "touch":
            return await method(key, ttl=60, collection=collection)
        case "increment":
            return await method(key, initial=0, collection=collection)
        case "keys":
            return await method(collection)
        case "iter_keys":
            return [found async for found in method(collection)]
        case "destroy_collection":
            return await method("collection" if collection is None else collection)
        case _:
            return await method()


def has(store: AsyncStore, operations: tuple[str, ...]) -> list[str]:
    """Return those of *operations* that the store has."""
    there = capabilities(store)
    return [operation for operation in operations if operation in there]


async def lacks(store: AsyncStore, *operations: str) -> bool:
    """Say whether the store lacks one of *operations*; the ones it lacks have to say so when they are called."""
    missing = set(operations) - capabilities(store)
    for operation in missing:
        with pytest.raises(UnsupportedOperationError, match=operation):
            await call(store, operation)
    return bool(missing)


def exact(value: object) -> str:
    """Return a text that is alike only for values alike to the last bit: types, order, and the sign of zero."""
    return repr(value)


async def in_time(prepare: Op[[], None]) -> None:
    """Prepare what has to be done before a SHORT ttl has ended; once more where a busy machine took longer."""
    while True:
        since = monotonic()
        try:
            return await prepare()
        except AssertionError:
            if monotonic() - since < SHORT:
                raise


async def contents(store: AsyncStore, keys: list[str], collection: str | None = None) -> list[Any]:
    """Return the values of *keys*, each read on its own."""
    return [await store.get(key, collection=collection) for key in keys]


assert set(PLACED) <= OPERATIONS.keys()
