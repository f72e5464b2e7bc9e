"""What stores cost beside their raw client with the same codec, and beside py-key-value-aio."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import diskcache
import msgspec
from key_value.aio.stores.disk import DiskStore as TheirDiskStore
from key_value.aio.stores.memory import MemoryStore as TheirMemoryStore
from key_value.aio.stores.redis import RedisStore as TheirRedisStore
from typing_extensions import override

from benchmarks._harness import Bench, Operation, Rival
from benchmarks._raw import at_once_in_threads, connect, decode, encode, name_of

KEY = "user:1"
VALUE: dict[str, Any] = {"name": "Ada", "age": 36, "admin": True, "score": 0.5, "note": None}
KEYS = [f"user:{number}" for number in range(1000)]
VALUES = [VALUE] * len(KEYS)
TTL = 3600.0
SIDES = ("sync", "aio")
BULK = 20.0
"""How many times faster than a loop a bulk operation has to be, where each operation is a round trip."""


@dataclass(frozen=True)
class Network:
    """A store that talks to a server, and the bars that it has to hold.

    Attributes:
        module: Where the store is, below `kv_core.<side>.stores`.
        name: Its class.
        client: The raw client.
        at_most: How many times the raw client's time a get or put may take, by side.
        bulk: How many times faster than a loop a bulk operation has to be.
        theirs: py-key-value's store, where it is measured, too.
    """

    module: str
    name: str
    client: str
    at_most: dict[str, float] = field(default_factory=dict)
    bulk: float | None = None
    theirs: Callable[..., Any] | None = None


NETWORK = {
    "redis": Network("redis", "RedisStore", "redis-py", {"sync": 1.10, "aio": 1.15}, 20.0, TheirRedisStore),
    "valkey": Network("valkey", "ValkeyStore", "valkey-py", {"sync": 1.10, "aio": 1.15}, 20.0),
    "redis_cluster": Network("redis", "RedisStore", "redis-py", bulk=7.0),
    "valkey_cluster": Network("valkey", "ValkeyStore", "valkey-py", bulk=7.0),
    "memcached": Network("memcached", "MemcachedStore", "pymemcache", bulk=8.0),
    "mongodb": Network("mongodb", "MongoDBStore", "pymongo"),
    "elasticsearch": Network("elasticsearch", "ElasticsearchStore", "elasticsearch-py"),
}
"""By the kind of their server, as `tests/servers` has it."""


def main(bench: Bench) -> None:
    """Measure every store that is there."""
    local = {"memory": _memory, "instant": _instant, "disk": _disk, "multi_disk": _multi_disk}
    for name in [*local, *NETWORK]:
        if not bench.only or name in bench.only:
            for side in SIDES:
                local[name](bench, side) if name in local else _network(bench, side, name)


def _store(side: str, module: str, name: str, **options: Any) -> Any:
    return getattr(import_module(f"kv_core.{side}.stores.{module}"), name)(**options)


def _operations(
    bench: Bench,
    store: Any,
    raw: Any,
    theirs: Any = None,
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
        theirs: py-key-value's store, if it is compared, too.
        at_most: How many times the raw client's time a get or put may take.
        faster: How many times faster than py-key-value's a get or put has to be.
        bulk: How many times faster than a loop a bulk operation has to be.
        raw_name: What the raw client is.
    """

    def rivals(operation: str, *arguments: Any, **options: Any) -> list[Rival]:
        barred = operation in {"get", "put"}
        raw_call = partial(getattr(raw, operation), *arguments, **options)
        found = [Rival(raw_name, raw_call, at_most=at_most if barred else None)]
        if theirs is not None:
            their_call = partial(getattr(theirs, operation), *arguments, **options)
            found.append(Rival("py-key-value-aio", their_call, faster=faster if barred else None))
        return found

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


# Servers --------------------------------------------------------------------------------------------------------------


class _Instant:
    """A client, its pool and its connection at once, which answers at once with what was set last."""

    def __init__(self) -> None:
        self.connection_pool = self
        self._data = b""

    def get_connection(self) -> Any:
        return self

    def release(self, connection: object) -> None:
        pass

    def pack_command(self, *command: Any) -> Any:
        if command[0] == "SET":
            self._data = command[2]
        return command

    def send_packed_command(self, command: object) -> None:
        pass

    def read_response(self, **options: object) -> bytes:
        return self._data


class _AsyncInstant(_Instant):
    @override
    async def get_connection(self) -> Any:
        return self

    @override
    async def release(self, connection: object) -> None:
        pass

    async def send_command(self, *command: Any) -> None:
        self.pack_command(*command)

    @override
    async def read_response(self, **options: object) -> bytes:
        return self._data


def _instant(bench: Bench, side: str) -> None:
    bench.title(f"RedisStore over a client that answers at once, {side}: all that is ours")
    driver = import_module(f"kv_core.{side}._drivers.resp")
    server = import_module(f"kv_core.{side}.stores._redis_server").Server
    borrowed = import_module(f"kv_core.{side}._runtime").Borrowed
    store = _store(side, "redis", "RedisStore")
    store._clients = borrowed(server(driver.Client(_Instant() if side == "sync" else _AsyncInstant(), 32, ())))
    bench.time("put", partial(store.put, KEY, VALUE), aim=1.5 if side == "sync" else 2.6)
    bench.time("get", partial(store.get, KEY), aim=0.7 if side == "sync" else 1.9)


def _network(bench: Bench, side: str, kind: str) -> None:
    subject = NETWORK[kind]
    if find_spec(f"kv_core.{side}.stores.{subject.module}") is None or (url := bench.server(kind)) is None:
        print(f"\n{kind}, {side}: left out, the store or its server is not there")
        return
    bench.title(f"{subject.name}, {side}" + (", on a cluster" if "cluster" in kind else ""))
    raw = connect(kind, side, url)
    store = _store(side, subject.module, subject.name, url=url, timeout=60)  # a busy machine is no failure
    theirs = subject.theirs and subject.theirs(url=url)
    threads = ", each in asyncio.to_thread" if side == "aio" and kind == "memcached" else ""
    raw_name = f"{subject.client} and the codec{threads}"
    _operations(bench, store, raw, theirs, at_most=subject.at_most.get(side), bulk=subject.bulk, raw_name=raw_name)
    at_once = at_once_in_threads if side == "sync" else _at_once
    for name, calls in (("get", _FIFTY_GETS), ("put", _FIFTY_PUTS)):
        rivals = [Rival(raw_name, at_once(getattr(raw, name), calls))]
        if theirs is not None and side == "aio":
            rivals.append(Rival("py-key-value-aio", _at_once(getattr(theirs, name), calls)))
        bench.compare(
            f"{name}, 50 at once" + (", in threads" if side == "sync" else ""),
            at_once(getattr(store, name), calls),
            *rivals,
            calls=50,
        )
    for close in (store.close, raw.close, *([theirs.close] if theirs is not None else [])):
        bench.run(close)


# Disk -----------------------------------------------------------------------------------------------------------------


class _Disk:
    """diskcache, set up as the store sets it up, and the codec."""

    def __init__(self, folder: Path) -> None:
        self.cache = diskcache.Cache(
            str(folder), eviction_policy="none", cull_limit=0, disk_min_file_size=2**31 - 1, timeout=5
        )

    def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        self.cache.set(name_of(key), encode(key, value, ttl), expire=ttl)

    def get(self, key: str) -> dict[str, Any] | None:
        return decode(key, self.cache.get(name_of(key)))

    def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        with self.cache.transact():
            for key, value in zip(keys, values, strict=True):
                self.put(key, value, ttl)

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        return [self.get(key) for key in keys]


class _AsyncDisk:
    """The same through `asyncio.to_thread`."""

    def __init__(self, disk: _Disk) -> None:
        self.disk = disk

    async def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        await asyncio.to_thread(self.disk.put, key, value, ttl)

    async def get(self, key: str) -> dict[str, Any] | None:
        return await asyncio.to_thread(self.disk.get, key)

    async def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]], ttl: float | None = None) -> None:
        await asyncio.to_thread(self.disk.put_many, keys, values, ttl)

    async def get_many(self, keys: Sequence[str]) -> list[Any]:
        return await asyncio.to_thread(self.disk.get_many, keys)


def _disk(bench: Bench, side: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kv-bench-") as folder:
        bench.title(f"DiskStore, {side}")
        theirs = TheirDiskStore(directory=Path(folder, "theirs"))
        _on_disk(bench, side, _store(side, "disk", "DiskStore", directory=Path(folder, "ours")), Path(folder), theirs)
        bench.run(theirs.close)


def _multi_disk(bench: Bench, side: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kv-bench-") as folder:
        bench.title(f"MultiDiskStore, {side}")
        store = _store(side, "multi_disk", "MultiDiskStore", directory=Path(folder, "ours"))
        _on_disk(bench, side, store, Path(folder))


def _on_disk(bench: Bench, side: str, store: Any, folder: Path, theirs: Any = None) -> None:
    raw = _Disk(folder / "raw")
    if side == "sync":
        _operations(bench, store, raw, theirs, at_most=1.2, raw_name="diskcache and the codec")
    else:
        _operations(bench, store, _AsyncDisk(raw), theirs, at_most=1.0, raw_name="the same in asyncio.to_thread")
        for name, calls, at_most in (("get", _FIFTY_GETS, 2.0), ("put", _FIFTY_PUTS, 1.0)):
            rivals = [Rival("diskcache and the codec, no loop", _loop(getattr(raw, name), calls), at_most)]
            if theirs is not None:
                rivals.append(Rival("py-key-value-aio", _at_once(getattr(theirs, name), calls)))
            bench.compare(f"{name}, 50 at once", _at_once(getattr(store, name), calls), *rivals, calls=50)
        puts = _at_once(store.put, _FIFTY_PUTS)
        late = median(bench.run(partial(_latest, puts, 10)) for _ in range(3 if bench.quick else 21))
        bench.absolute("the loop's longest stall, 500 puts, median", late * 1e3, "ms", at_most=5)
    bench.run(store.close)
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
