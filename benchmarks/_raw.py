"""The clients that stores stand on, with our codec and nothing else: what a store is measured against.

A raw client is written once for both sides: a method makes the call and says what to do with its answer, and
`on_side` waits for that answer or does not.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from kv_core import codec
from kv_core.entry import VERSION, Entry

Value: TypeAlias = dict[str, Any]
Call: TypeAlias = tuple[Any, Callable[[Any], Any]]
"""What a client answered, or a coroutine that waits for it, and what makes the result of it."""

COLLECTION = "default_collection"
OPERATIONS = ("put", "get", "put_many", "get_many")


def name_of(key: str) -> str:
    """Return the name under which a client keeps an entry."""
    return f"{COLLECTION}::{key}"


def encode(key: str, value: Value, ttl: float | None) -> bytes:
    """Return the entry that a store would write."""
    now = datetime.now(UTC)
    ends = None if ttl is None else now + timedelta(seconds=ttl)
    entry = Entry(collection=COLLECTION, created_at=now, expires_at=ends, key=key, value=value, version=VERSION)
    return codec.encode(entry)


def decode(key: str, data: bytes | None) -> Value | None:
    """Return the value in an entry."""
    return None if data is None else codec.decode(data, COLLECTION, key).value


def decode_all(keys: Sequence[str], found: Iterable[bytes | None]) -> list[Value | None]:
    """Return the values in entries."""
    return [decode(key, data) for key, data in zip(keys, found, strict=True)]


def nothing(answer: Any) -> None:
    """Take no notice of what a write answers."""


class Operations:
    """The operations of a raw client on one side."""

    def __init__(self, forms: dict[str, Callable[..., Any]], close: Callable[[], Any]) -> None:
        self.put, self.get, self.put_many, self.get_many = (forms[name] for name in OPERATIONS)
        self.close = close


def on_side(side: str, raw: Any) -> Operations:
    """Return the operations of a client of one side."""
    form = _plain if side == "sync" else _waiting
    close = raw.client.aclose if hasattr(type(raw.client), "aclose") else raw.client.close
    return Operations({name: form(getattr(raw, name)) for name in OPERATIONS}, close)


def in_threads(raw: Operations) -> Operations:
    """Return the operations of a blocking client for a loop, each in a thread of `asyncio.to_thread`."""

    def form(operation: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(operation, *arguments, **options)

        return call

    return Operations({name: form(getattr(raw, name)) for name in OPERATIONS}, raw.close)


def _plain(operation: Callable[..., Call]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        answer, then = operation(*arguments, **options)
        return then(answer)

    return call


def _waiting(operation: Callable[..., Call]) -> Callable[..., Any]:
    async def call(*arguments: Any, **options: Any) -> Any:
        answer, then = operation(*arguments, **options)
        return then(await answer)

    return call


class Redis:
    """redis-py or valkey-py, on a single server."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put(self, key: str, value: Value, ttl: float | None = None) -> Call:
        return self.client.set(name_of(key), encode(key, value, ttl), px=_milliseconds(ttl)), nothing

    def get(self, key: str) -> Call:
        return self.client.get(name_of(key)), partial(decode, key)

    def put_many(self, keys: Sequence[str], values: Sequence[Value], ttl: float | None = None) -> Call:
        if ttl is None:
            return self._write({name_of(key): encode(key, value, None) for key, value in _pairs(keys, values)}), nothing
        pipe = self._pipeline()
        for key, value in _pairs(keys, values):
            pipe.set(name_of(key), encode(key, value, ttl), px=_milliseconds(ttl))
        return pipe.execute(), nothing

    def get_many(self, keys: Sequence[str]) -> Call:
        return self._read([name_of(key) for key in keys]), partial(decode_all, keys)

    def _write(self, entries: dict[str, bytes]) -> Any:
        return self.client.mset(entries)

    def _read(self, names: list[str]) -> Any:
        return self.client.mget(names)

    def _pipeline(self) -> Any:
        return self.client.pipeline(transaction=False)


class RedisCluster(Redis):
    """redis-py's client of a cluster, which sends what belongs to a node together."""

    def _write(self, entries: dict[str, bytes]) -> Any:
        return self.client.mset_nonatomic(entries)

    def _read(self, names: list[str]) -> Any:
        return self.client.mget_nonatomic(names)

    def _pipeline(self) -> Any:
        return self.client.pipeline()


class Memcached:
    """pymemcache, which blocks."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put(self, key: str, value: Value, ttl: float | None = None) -> Call:
        return self.client.set(name_of(key), encode(key, value, ttl), expire=int(ttl or 0)), nothing

    def get(self, key: str) -> Call:
        return self.client.get(name_of(key)), partial(decode, key)

    def put_many(self, keys: Sequence[str], values: Sequence[Value], ttl: float | None = None) -> Call:
        entries = {name_of(key): encode(key, value, ttl) for key, value in _pairs(keys, values)}
        return self.client.set_many(entries, expire=int(ttl or 0)), nothing

    def get_many(self, keys: Sequence[str]) -> Call:
        names = [name_of(key) for key in keys]
        return self.client.get_many(names), lambda found: decode_all(keys, map(found.get, names))


class MongoDB:
    """pymongo, with a document an entry."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.entries = client.get_database("raw").get_collection("entries")

    def put(self, key: str, value: Value, ttl: float | None = None) -> Call:
        name = name_of(key)
        return self.entries.replace_one({"_id": name}, self._document(name, key, value, ttl), upsert=True), nothing

    def get(self, key: str) -> Call:
        return self.entries.find_one({"_id": name_of(key)}), lambda found: decode(key, found and found["entry"])

    def put_many(self, keys: Sequence[str], values: Sequence[Value], ttl: float | None = None) -> Call:
        from pymongo import ReplaceOne

        writes = [
            ReplaceOne({"_id": name}, self._document(name, key, value, ttl), upsert=True)
            for key, value in _pairs(keys, values)
            for name in [name_of(key)]
        ]
        return self.entries.bulk_write(writes, ordered=False), nothing

    def get_many(self, keys: Sequence[str]) -> Call:
        names = [name_of(key) for key in keys]

        def values(documents: list[dict[str, Any]]) -> list[Value | None]:
            found = {document["_id"]: document["entry"] for document in documents}
            return decode_all(keys, map(found.get, names))

        return self.entries.find({"_id": {"$in": names}}).to_list(), values

    @staticmethod
    def _document(name: str, key: str, value: Value, ttl: float | None) -> dict[str, Any]:
        return {"_id": name, "entry": encode(key, value, ttl)}


class Elasticsearch:
    """elasticsearch-py, with a document an entry."""

    index = "raw"

    def __init__(self, client: Any) -> None:
        self.client = client

    def put(self, key: str, value: Value, ttl: float | None = None) -> Call:
        return self.client.index(index=self.index, id=name_of(key), document=self._document(key, value, ttl)), nothing

    def get(self, key: str) -> Call:
        return self.client.get(index=self.index, id=name_of(key)), lambda found: decode(key, self._entry(found))

    def put_many(self, keys: Sequence[str], values: Sequence[Value], ttl: float | None = None) -> Call:
        lines: list[dict[str, Any]] = []
        for key, value in _pairs(keys, values):
            lines += [{"index": {"_id": name_of(key)}}, self._document(key, value, ttl)]
        return self.client.bulk(index=self.index, operations=lines), nothing

    def get_many(self, keys: Sequence[str]) -> Call:
        answer = self.client.mget(index=self.index, ids=[name_of(key) for key in keys])
        return answer, lambda found: decode_all(keys, map(self._entry, found["docs"]))

    @staticmethod
    def _document(key: str, value: Value, ttl: float | None) -> dict[str, Any]:
        return {"entry": base64.b64encode(encode(key, value, ttl)).decode("ascii")}

    @staticmethod
    def _entry(found: Any) -> bytes | None:
        return base64.b64decode(found["_source"]["entry"]) if found["found"] else None


def connect(kind: str, side: str, url: str) -> Operations:
    """Return a raw client of a kind of server, as its documentation has it made.

    Args:
        kind: As in `tests/servers`.
        side: `sync` or `aio`.
        url: As a store of ours takes it.
    """
    return _CONNECT[kind](side, url)


def _redis(library: str, name: str, side: str, url: str) -> Operations:
    module: Any = import_module(library if side == "sync" else f"{library}.asyncio")
    client = getattr(module, name).from_url(f"redis://{urlsplit(url).netloc}", max_connections=100)
    return on_side(side, Redis(client))


def _cluster(library: str, name: str, side: str, url: str) -> Operations:
    module: Any = import_module(f"{library}.cluster" if side == "sync" else f"{library}.asyncio.cluster")
    nodes = [module.ClusterNode(*node.rsplit(":", 1)) for node in urlsplit(url).netloc.split(",")]
    return on_side(side, RedisCluster(getattr(module, f"{name}Cluster")(startup_nodes=nodes)))


def _memcached(side: str, url: str) -> Operations:
    from pymemcache import PooledClient

    parts = urlsplit(url)
    client = PooledClient((parts.hostname, parts.port), no_delay=True, default_noreply=False)
    blocking = on_side("sync", Memcached(client))
    return blocking if side == "sync" else in_threads(blocking)


def _mongodb(side: str, url: str) -> Operations:
    import pymongo

    return on_side(side, MongoDB((pymongo.MongoClient if side == "sync" else pymongo.AsyncMongoClient)(url)))


def _elasticsearch(side: str, url: str) -> Operations:
    import elasticsearch

    form = elasticsearch.Elasticsearch if side == "sync" else elasticsearch.AsyncElasticsearch
    return on_side(side, Elasticsearch(form(url.replace("elasticsearch", "http", 1), connections_per_node=100)))


_CONNECT: dict[str, Callable[[str, str], Operations]] = {
    "redis": partial(_redis, "redis", "Redis"),
    "redis_cluster": partial(_cluster, "redis", "Redis"),
    "valkey": partial(_redis, "valkey", "Valkey"),
    "valkey_cluster": partial(_cluster, "valkey", "Valkey"),
    "memcached": _memcached,
    "mongodb": _mongodb,
    "elasticsearch": _elasticsearch,
}


def _pairs(keys: Sequence[str], values: Sequence[Value]) -> Iterable[tuple[str, Value]]:
    return zip(keys, values, strict=True)


def _milliseconds(ttl: float | None) -> int | None:
    return None if ttl is None else int(ttl * 1000)


THREADS = 50
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="at-once")


def at_once_in_threads(operation: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Callable[[], None]:
    """Return a call that makes the same operation for all of these arguments, each in a thread."""

    def at_once() -> None:
        for done in [_pool.submit(operation, *arguments) for arguments in calls]:
            done.result()

    return at_once
