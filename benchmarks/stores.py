"""What stores cost beside their raw client with the same codec, and beside py-key-value-aio."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import diskcache
import msgspec
import redis.asyncio
from key_value.aio.stores.disk import DiskStore as TheirDiskStore
from key_value.aio.stores.memory import MemoryStore as TheirMemoryStore
from key_value.aio.stores.redis import RedisStore as TheirRedisStore
from typing_extensions import override

from benchmarks._harness import Bench, Operation, Rival
from kv_core import codec
from kv_core.entry import VERSION, Entry

KEY = "user:1"
VALUE: dict[str, Any] = {"name": "Ada", "age": 36, "admin": True, "score": 0.5, "note": None}
KEYS = [f"user:{number}" for number in range(1000)]
VALUES = [VALUE] * len(KEYS)
TTL = 3600.0
SIDES = ("sync", "aio")
BULK = 20.0
"""How many times faster than a loop a bulk operation has to be, where each operation is a round trip."""


def main(bench: Bench) -> None:
    """Measure every store that is there."""
    for side in SIDES:
        _memory(bench, side)
    for side in SIDES:
        _instant(bench, side)
    for side in SIDES:
        _disk(bench, side)
    if bench.redis is None:
        print("\nRedis: left out, there is no redis-server")
        return
    for side in SIDES:
        _redis(bench, side, bench.redis)


def _store(side: str, module: str, name: str, **options: Any) -> Any:
    return getattr(import_module(f"kv_core.{side}.stores.{module}"), name)(**options)


def _operations(
    bench: Bench,
    store: Any,
    raw: Any,
    theirs: Any,
    *,
    at_most: float | None = None,
    faster: float | None = None,
    bulk: float | None = None,
    raw_name: str,
) -> None:
    """Compare the operations of a store with those of a raw client and of py-key-value's store.

    Args:
        bench: Where to report.
        store: Ours.
        raw: The raw client with our codec, with the same methods.
        theirs: py-key-value's store.
        at_most: How many times the raw client's time a get or put may take.
        faster: How many times faster than py-key-value's a get or put has to be.
        bulk: How many times faster than a loop a bulk operation has to be.
        raw_name: What the raw client is.
    """

    def rivals(operation: str, *arguments: Any, **options: Any) -> list[Rival]:
        barred = operation in {"get", "put"}
        raw_call = partial(getattr(raw, operation), *arguments, **options)
        their_call = partial(getattr(theirs, operation), *arguments, **options)
        return [
            Rival(raw_name, raw_call, at_most=at_most if barred else None),
            Rival("py-key-value-aio", their_call, faster=faster if barred else None),
        ]

    def bulk_rivals(operation: str, loop: Operation, *arguments: Any, **options: Any) -> list[Rival]:
        return [*rivals(operation, *arguments, **options), Rival("one after the other", loop, None, bulk)]

    bench.compare("put", partial(store.put, KEY, VALUE), *rivals("put", KEY, VALUE))
    bench.compare("put with ttl", partial(store.put, KEY, VALUE, ttl=TTL), *rivals("put", KEY, VALUE, ttl=TTL))
    bench.compare("get", partial(store.get, KEY), *rivals("get", KEY))
    pairs = list(zip(KEYS, VALUES, strict=True))
    for words, options in (("", {}), (" with ttl", {"ttl": TTL})):
        bench.compare(
            f"put_many(1000){words}",
            partial(store.put_many, KEYS, VALUES, **options),
            *bulk_rivals("put_many", _loop(partial(store.put, **options), pairs), KEYS, VALUES, **options),
            calls=len(KEYS),
        )
    bench.compare(
        "get_many(1000)",
        partial(store.get_many, KEYS),
        *bulk_rivals("get_many", _loop(store.get, [(key,) for key in KEYS]), KEYS),
        calls=len(KEYS),
    )


def _loop(operation: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Operation:
    """Return a call that makes the same operation once for each of these arguments."""
    if not inspect.iscoroutinefunction(operation):
        return lambda: [operation(*arguments) for arguments in calls]

    async def loop() -> None:
        for arguments in calls:
            await operation(*arguments)

    return loop


def _at_once(operation: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Operation:
    """Return a call that makes the same operation for all of these arguments concurrently."""

    async def at_once() -> None:
        await asyncio.gather(*[operation(*arguments) for arguments in calls])

    return at_once


_FIFTY_GETS = [(key,) for key in KEYS[:50]]
_FIFTY_PUTS = [(key, VALUE) for key in KEYS[:50]]


def _name(key: str) -> str:
    return f"default_collection::{key}"


def _entry(key: str, value: dict[str, Any], ttl: float | None) -> bytes:
    now = datetime.now(UTC)
    ends = None if ttl is None else now + timedelta(seconds=ttl)
    collection = "default_collection"
    entry = Entry(collection=collection, created_at=now, expires_at=ends, key=key, value=value, version=VERSION)
    return codec.encode(entry)


def _value(data: bytes | None, key: str) -> dict[str, Any] | None:
    return None if data is None else codec.decode(data, "default_collection", key).value


# Memory ---------------------------------------------------------------------------------------------------------------


class _Dict:
    """A dict of MessagePack: the least that returns a copy."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode

    def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        self._data[key] = self._encode(value)

    def get(self, key: str) -> Any:
        return self._decode(self._data[key])

    def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        self._data.update(zip(keys, map(self._encode, values), strict=True))

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        return [self._decode(self._data[key]) for key in keys]


class _AsyncDict:
    """The same in coroutines."""

    def __init__(self) -> None:
        self._dict = _Dict()

    async def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        self._dict.put(key, value)

    async def get(self, key: str) -> Any:
        return self._dict.get(key)

    async def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        self._dict.put_many(keys, values)

    async def get_many(self, keys: Sequence[str]) -> list[Any]:
        return self._dict.get_many(keys)


def _memory(bench: Bench, side: str) -> None:
    bench.title(f"MemoryStore, {side}")
    raw = _Dict() if side == "sync" else _AsyncDict()
    store = _store(side, "memory", "MemoryStore")
    _operations(bench, store, raw, TheirMemoryStore(), faster=12, raw_name="a dict and msgspec")


# Redis ----------------------------------------------------------------------------------------------------------------


class _Redis:
    """redis-py and the codec."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - untyped there

    def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        self.client.set(_name(key), _entry(key, value, ttl), px=None if ttl is None else int(ttl * 1000))

    def get(self, key: str) -> dict[str, Any] | None:
        return _value(self.client.get(_name(key)), key)

    def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        if ttl is None:
            entries = zip(keys, values, strict=True)
            self.client.mset({_name(key): _entry(key, value, None) for key, value in entries})
            return
        pipe = self.client.pipeline(transaction=False)
        for key, value in zip(keys, values, strict=True):
            pipe.set(_name(key), _entry(key, value, ttl), px=int(ttl * 1000))
        pipe.execute()

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        found = self.client.mget([_name(key) for key in keys])
        return [_value(data, key) for data, key in zip(found, keys, strict=True)]


class _AsyncRedis:
    """The same on the event loop."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - untyped there

    async def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        await self.client.set(_name(key), _entry(key, value, ttl), px=None if ttl is None else int(ttl * 1000))

    async def get(self, key: str) -> dict[str, Any] | None:
        return _value(await self.client.get(_name(key)), key)

    async def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        if ttl is None:
            entries = zip(keys, values, strict=True)
            await self.client.mset({_name(key): _entry(key, value, None) for key, value in entries})
            return
        pipe = self.client.pipeline(transaction=False)
        for key, value in zip(keys, values, strict=True):
            pipe.set(_name(key), _entry(key, value, ttl), px=int(ttl * 1000))
        await pipe.execute()

    async def get_many(self, keys: Sequence[str]) -> list[Any]:
        found = await self.client.mget([_name(key) for key in keys])
        return [_value(data, key) for data, key in zip(found, keys, strict=True)]


class _Instant:
    """A client that answers at once with what was set last."""

    connection_pool = None

    def __init__(self) -> None:
        self._data = b""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == "SET":
            self._data = command[2]
            return b"OK"
        return self._data


class _AsyncInstant(_Instant):
    @override
    async def execute_command(self, *command: Any, **options: Any) -> Any:
        return super().execute_command(*command, **options)


def _instant(bench: Bench, side: str) -> None:
    bench.title(f"RedisStore over a client that answers at once, {side}: all that is ours")
    client = _Instant() if side == "sync" else _AsyncInstant()
    store = _store(side, "redis", "RedisStore", client=client)
    bench.time("put", partial(store.put, KEY, VALUE), aim=1.5 if side == "sync" else 2.6)
    bench.time("get", partial(store.get, KEY), aim=0.7 if side == "sync" else 1.9)


def _redis(bench: Bench, side: str, url: str) -> None:
    bench.title(f"RedisStore, {side}")
    raw = _Redis(url) if side == "sync" else _AsyncRedis(url)
    store = _store(side, "redis", "RedisStore", url=url)
    theirs = TheirRedisStore(url=url)
    at_most = 1.10 if side == "sync" else 1.15
    _operations(bench, store, raw, theirs, at_most=at_most, bulk=BULK, raw_name="redis-py and the codec")
    if side == "aio":
        for name, calls in (("get", _FIFTY_GETS), ("put", _FIFTY_PUTS)):
            bench.compare(
                f"{name}, 50 at once",
                _at_once(getattr(store, name), calls),
                Rival("redis-py and the codec", _at_once(getattr(raw, name), calls)),
                Rival("py-key-value-aio", _at_once(getattr(theirs, name), calls)),
                calls=50,
            )
    bench.run(store.close)
    bench.run(theirs.close)
    bench.run(raw.client.close if side == "sync" else raw.client.aclose)


# Disk -----------------------------------------------------------------------------------------------------------------


class _Disk:
    """diskcache, set up as the store sets it up, and the codec."""

    def __init__(self, folder: Path) -> None:
        self.cache = diskcache.Cache(
            str(folder), eviction_policy="none", cull_limit=0, disk_min_file_size=2**31 - 1, timeout=5
        )

    def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        self.cache.set(_name(key), _entry(key, value, ttl), expire=ttl)

    def get(self, key: str) -> dict[str, Any] | None:
        return _value(self.cache.get(_name(key)), key)

    def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        with self.cache.transact():
            for key, value in zip(keys, values, strict=True):
                self.put(key, value, ttl)

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        return [self.get(key) for key in keys]


class _AsyncDisk:
    """The same through `asyncio.to_thread`."""

    def __init__(self, folder: Path) -> None:
        self.disk = _Disk(folder)

    async def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        await asyncio.to_thread(self.disk.put, key, value, ttl)

    async def get(self, key: str) -> dict[str, Any] | None:
        return await asyncio.to_thread(self.disk.get, key)

    async def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        await asyncio.to_thread(self.disk.put_many, keys, values, ttl)

    async def get_many(self, keys: Sequence[str]) -> list[Any]:
        return await asyncio.to_thread(self.disk.get_many, keys)


def _disk(bench: Bench, side: str) -> None:
    if find_spec(f"kv_core.{side}.stores.disk") is None:
        print(f"\nDiskStore, {side}: left out, it is not there")
        return
    with tempfile.TemporaryDirectory(prefix="kv-bench-") as folder:
        bench.title(f"DiskStore, {side}")
        store = _store(side, "disk", "DiskStore", directory=Path(folder, "ours"))
        theirs = TheirDiskStore(directory=Path(folder, "theirs"))
        raw = _Disk(Path(folder, "raw"))
        if side == "sync":
            _operations(bench, store, raw, theirs, at_most=1.2, raw_name="diskcache and the codec")
        else:
            threads = _AsyncDisk(Path(folder, "raw"))
            _operations(bench, store, threads, theirs, at_most=1.0, raw_name="the same in asyncio.to_thread")
            for name, calls, at_most in (("get", _FIFTY_GETS, 2.0), ("put", _FIFTY_PUTS, 1.0)):
                bench.compare(
                    f"{name}, 50 at once",
                    _at_once(getattr(store, name), calls),
                    Rival("diskcache and the codec, no loop", _loop(getattr(raw, name), calls), at_most),
                    Rival("py-key-value-aio", _at_once(getattr(theirs, name), calls)),
                    calls=50,
                )
            puts = _at_once(store.put, _FIFTY_PUTS)
            late = median(bench.run(partial(_latest, puts, 10)) for _ in range(3 if bench.quick else 21))
            bench.absolute("the loop's longest stall, 500 puts, median", late * 1e3, "ms", at_most=5)
        bench.run(store.close)
        bench.run(theirs.close)
        raw.cache.close()


async def _latest(call: Operation, times: int) -> float:
    """Return by how many seconds a short sleep beside these calls was late at most."""
    late = 0.0

    async def watch() -> None:
        nonlocal late
        while True:
            start = perf_counter()
            await asyncio.sleep(0.001)
            late = max(late, perf_counter() - start - 0.001)

    watcher = asyncio.create_task(watch())
    for _ in range(times):
        await call()
    watcher.cancel()
    return late
