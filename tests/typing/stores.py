"""What type checkers see of stores, stacks and capabilities. Nothing here runs: mypy and pyright read it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from kv_core.aio.protocols import AsyncIncrement, AsyncKeyValue, AsyncStore, AsyncTouch
from kv_core.aio.stores.disk import DiskStore as AsyncDiskStore
from kv_core.aio.stores.memory import MemoryStore as AsyncMemoryStore
from kv_core.aio.stores.redis import RedisStore as AsyncRedisStore
from kv_core.capabilities import capabilities, require
from kv_core.entry import Revision
from kv_core.registry import Registry
from kv_core.sync.protocols import Increment, KeyValue, Store, Touch
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore

Value = dict[str, Any]


async def basic_on_the_async_side(store: AsyncKeyValue) -> None:
    assert_type(await store.get("key"), Value | None)
    assert_type(await store.get_many(["key"], collection="users"), list[Value | None])
    assert_type(await store.ttl("key"), tuple[Value | None, float | None])
    assert_type(await store.ttl_many(["key"]), list[tuple[Value | None, float | None]])
    await store.put("key", {"n": 1}, ttl=5)
    await store.put_many(["a", "b"], [{"n": 1}, {}], ttl=[1.5, None])
    await store.put_many(("a", "b"), ({"n": 1}, {}), ttl=5)
    assert_type(await store.delete("key"), bool)
    assert_type(await store.delete_many(["key"]), int)


def basic_on_the_sync_side(store: KeyValue) -> None:
    assert_type(store.get("key"), Value | None)
    assert_type(store.get_many(["key"], collection="users"), list[Value | None])
    assert_type(store.ttl("key"), tuple[Value | None, float | None])
    assert_type(store.ttl_many(["key"]), list[tuple[Value | None, float | None]])
    store.put("key", {"n": 1}, ttl=5)
    store.put_many(["a", "b"], [{"n": 1}, {}], ttl=[1.5, None])
    assert_type(store.delete("key"), bool)
    assert_type(store.delete_many(["key"]), int)


async def segments_on_the_async_side(store: AsyncStore) -> None:
    assert_type(await store.put_if_absent("key", {}), bool)
    assert_type(await store.put_if_present("key", {}), bool)
    found = await store.get_with_revision("key")
    assert_type(found, tuple[Value, Revision] | None)
    if found is not None:
        assert_type(await store.put_if_unchanged("key", {}, found[1]), bool)
        assert_type(await store.delete_if_unchanged("key", found[1]), bool)
    assert_type(await store.touch("key", ttl=None), bool)
    assert_type(await store.increment("key", initial=0), int)
    assert_type(await store.keys(), list[str])
    assert_type(store.iter_keys(), AsyncIterator[str])
    assert_type(await store.collections(), list[str])
    assert_type(await store.destroy(), bool)
    assert_type(await store.cull(), int)
    assert_type(await store.ping(), float)
    assert_type(store.default_collection, str)


def segments_on_the_sync_side(store: Store) -> None:
    assert_type(store.get_with_revision("key"), tuple[Value, Revision] | None)
    assert_type(store.touch("key", ttl=None), bool)
    assert_type(store.increment("key", initial=0), int)
    assert_type(store.iter_keys(), Iterator[str])
    assert_type(store.ping(), float)


def concrete_stores_are_both() -> None:
    stores: list[Store] = [MemoryStore(name="a"), DiskStore(directory="/tmp/kv"), RedisStore(url="redis://localhost")]
    basic: list[KeyValue] = [*stores]
    twins: list[AsyncStore] = [AsyncMemoryStore(), AsyncDiskStore(directory="/tmp/kv"), AsyncRedisStore()]
    basic_twins: list[AsyncKeyValue] = [*twins]
    assert_type(capabilities(basic[0]), frozenset[str])
    assert_type(capabilities(basic_twins[0]), frozenset[str])


async def contexts() -> None:
    async with AsyncMemoryStore() as twin:
        assert_type(twin, AsyncMemoryStore)
    with MemoryStore() as store:
        assert_type(store, MemoryStore)


def narrowing(store: KeyValue, twin: AsyncKeyValue) -> None:
    assert_type(require(store, Increment), Increment)
    assert_type(require(store, Touch).touch("key", ttl=5), bool)
    assert_type(require(twin, AsyncTouch), AsyncTouch)
    assert_type(require(twin, AsyncIncrement), AsyncIncrement)


def the_registry() -> None:
    assert_type(Registry({}).store("default"), Store)
    assert_type(Registry({}).astore(), AsyncStore)


async def what_is_refused(store: AsyncKeyValue, plain: KeyValue) -> None:
    await store.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a key is a str
    await store.put("key", [])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a value is a dict
    plain.put("key", {}, ttl="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a ttl is a number
    plain.touch("key", ttl=5)  # type: ignore[attr-defined]  # pyright: ignore - not every store has it
