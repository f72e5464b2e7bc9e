"""What type checkers see of wrappers, ours and a user's. Nothing here runs: mypy and pyright read it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, assert_type

from cryptography.fernet import Fernet, MultiFernet
from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue, AsyncStore
from kv_core.aio.stores.memory import MemoryStore as AsyncMemoryStore
from kv_core.aio.wrappers import BaseWrapper, Call, CallWrapper, NameWrapper, ValueWrapper
from kv_core.aio.wrappers.encryption.fernet import FernetEncryptionWrapper as AsyncFernetEncryptionWrapper
from kv_core.sync.protocols import KeyValue, Store
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.wrappers.compression import CompressionWrapper
from kv_core.sync.wrappers.default_value import DefaultValueWrapper
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.sync.wrappers.limit_size import LimitSizeWrapper
from kv_core.sync.wrappers.logging import LoggingWrapper
from kv_core.sync.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.sync.wrappers.read_only import ReadOnlyWrapper
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper
from kv_core.sync.wrappers.timeout import TimeoutWrapper
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper

T = TypeVar("T")
Value = dict[str, Any]


def wrappers_are_stores(inner: KeyValue, key: Fernet) -> None:
    """A wrapper takes whatever has the basic operations, and has them all."""
    stack: Store = StatisticsWrapper(RetryWrapper(TimeoutWrapper(inner, timeout=1), max_retries=2))
    stack = CompressionWrapper(FernetEncryptionWrapper(stack, fernet=key), algorithm="zstd")
    stack = FernetEncryptionWrapper(inner, fernet=MultiFernet([key]))
    stack = TTLClampWrapper(LimitSizeWrapper(stack, max_size=5), 1, 2.5, missing_ttl=None)
    stack = ReadOnlyWrapper(LoggingWrapper(stack, log_values=True), raise_on_write=False)
    stack = SingleCollectionWrapper(PrefixKeysWrapper(stack, "a"), "all")
    stack = DefaultValueWrapper(stack, {"n": 1})
    assert_type(stack.get("key"), Value | None)
    assert_type(stack.increment("key"), int)


async def what_wrappers_add(sealed: AsyncFernetEncryptionWrapper, plain: FernetEncryptionWrapper) -> None:
    """Beyond the protocol they have methods of their own."""
    assert_type(await sealed.rotate("users"), int)
    assert_type(plain.rotate(), int)
    assert_type(plain.decryption_failures, int)
    async with sealed as entered:
        assert_type(entered, AsyncFernetEncryptionWrapper)


def routes(inner: KeyValue) -> None:
    """A routing function may take None as well; a mapping may be of any kind of store."""

    def route(collection: str | None) -> KeyValue | None:
        return inner if collection else None

    routing: Callable[[str], MemoryStore | None] = {"a": MemoryStore()}.get
    RoutingWrapper(route, inner)
    RoutingWrapper(routing, default_store=inner)
    CollectionRoutingWrapper({"a": MemoryStore(), "b": inner}, inner)
    CollectionRoutingWrapper({"a": MemoryStore()}, inner)


class Marking(BaseWrapper):
    """As the documentation shows one: the attribute, and what it overrides."""

    def __init__(self, key_value: AsyncKeyValue) -> None:
        self.key_value = key_value

    @override
    async def put(self, key: str, value: Value, *, collection: str | None = None, ttl: float | None = None) -> None:
        await self.key_value.put(key=key, value={"marked": value}, collection=collection, ttl=ttl)


class Upper(NameWrapper):
    """A wrapper that changes names."""

    def __init__(self, key_value: AsyncKeyValue) -> None:
        self.key_value = key_value

    @override
    def _name(self, address: tuple[str, str]) -> tuple[str, str]:
        return address[0], address[1].upper()


class Boxing(ValueWrapper):
    """A wrapper that changes values."""

    def __init__(self, key_value: AsyncKeyValue) -> None:
        self.key_value = key_value

    @override
    def _encode(self, value: Value, address: tuple[str, str], expires_at: datetime | None) -> Value:
        return {"box": value}

    @override
    def _decode(self, value: Value, address: tuple[str, str]) -> Value | None:
        found: Value | None = value.get("box")
        return found


class Patient(CallWrapper):
    """A wrapper that changes how calls are made."""

    def __init__(self, key_value: AsyncKeyValue) -> None:
        self.key_value = key_value

    @override
    async def _around(self, call: Call[T]) -> T:
        assert_type(call.name, str)
        result = await call(self.key_value)
        assert_type(result, T)
        return result


async def users_wrappers_are_stores() -> None:
    """They nest like ours."""
    stack: AsyncStore = Marking(Upper(Boxing(Patient(AsyncMemoryStore()))))
    assert_type(await stack.get("key"), Value | None)


def what_is_refused(inner: KeyValue, other_side: AsyncKeyValue) -> None:
    """The sides do not mix, and options have types."""
    CompressionWrapper(other_side)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - another side
    LimitSizeWrapper(inner, max_size="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - bytes are an int
    PrefixKeysWrapper(inner)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - a prefix is needed
