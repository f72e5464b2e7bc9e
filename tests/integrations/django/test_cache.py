"""The cache backend, on both sides, over memory and Redis; Django's own tests are in test_suites.py."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import os
import threading
import time
import uuid
import warnings
from typing import Any

import pytest
from django.core.cache import CacheKeyWarning, caches
from django.core.cache.backends.base import InvalidCacheKey
from django.test import modify_settings
from django.utils.safestring import SafeString, mark_safe

import kv_django
from kv_core.errors import (
    ConfigurationError,
    CounterOverflowError,
    InvalidTTLError,
    NotACounterError,
    SerializationError,
    StoreConnectionError,
    UnsupportedOperationError,
)
from kv_django.cache import KeyValueCache

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64,
    -(2**200),
    Colour.RED,
    1.5,
    -0.0,
    float("inf"),
    "1",
    b"1",
    "",
    b"",
    "\ud800 alone",
    "naïve \0 text",
    {},
    [],
    (),
    (1, (2,)),
    {"value": 1},
    {"signed": b"x"},
    {"pickle": b"x"},
    {1: {2, 3}},
    {"a": [1, {"b": None}]},
    decimal.Decimal("1.10"),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    uuid.UUID(int=7),
    complex(1, 2),
    range(3),
    Text("mine"),
    mark_safe("<b>"),
    b"\x00" * 200_000,
    "x" * 200_000,
    list(range(10_000)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value!r:.20}")
@pytest.mark.faults(164)
async def test_what_is_cached_comes_back_as_it_was(cache: Any, value: Any) -> None:
    """Every value keeps its type, by each way in and each way out."""
    await cache.set("set", value)
    assert await cache.add("add", value)
    assert await cache.set_many({"many": value}) == []
    assert await cache.get_or_set("default", value) == value

    found = [await cache.get("set"), await cache.get("add"), await cache.get("default", "missing")]
    found += (await cache.get_many(["set", "many"])).values()
    assert found == [value] * 5
    assert {type(one) for one in found} == {type(value)}
    assert await cache.has_key("set")


async def test_a_nan_is_cached(cache: Any) -> None:
    """What JSON has no word for is pickled."""
    await cache.set("key", float("nan"))

    assert str(await cache.get("key")) == "nan"


async def test_safe_text_stays_safe(cache: Any) -> None:
    """A cached template fragment is not escaped again."""
    await cache.set("key", mark_safe("<b>"))

    assert type(await cache.get("key")) is SafeString


async def test_none_is_not_a_miss(cache: Any) -> None:
    """None that was cached is found by every way of asking."""
    await cache.set("key", None)

    assert await cache.get("key", "default") is None
    assert await cache.get_or_set("key", "default") is None
    assert await cache.get_many(["key", "absent"]) == {"key": None}
    assert not await cache.add("key", 1)


async def test_what_comes_back_is_not_what_is_kept(cache: Any) -> None:
    """Changing what one got changes nothing in the cache."""
    given = {"list": [1]}
    await cache.set("key", given)
    given["list"].append(2)
    (await cache.get("key"))["list"].append(3)

    assert await cache.get("key") == {"list": [1]}


async def test_bulk_methods_take_iterators_and_nothing(cache: Any) -> None:
    """Generators and empty ones are fine."""
    await cache.set_many({"a": 1, "b": 2})

    assert await cache.get_many(key for key in ("a", "b", "c")) == {"a": 1, "b": 2}
    assert await cache.get_many(iter([])) == {}
    assert await cache.set_many({}) == []
    assert await cache.delete_many(key for key in ("a", "b")) is None
    assert await cache.delete_many(iter([])) is None
    assert await cache.get_many(["a", "b"]) == {}


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 0.0])
async def test_a_timeout_that_has_passed_keeps_nothing(cache: Any, timeout: float) -> None:
    """0 and less: the key is gone, and what was there goes too."""
    for key in ("set", "touch", "many", "xx"):
        await cache.set(key, 1, None)

    assert await cache.set("set", 2, timeout) is None
    assert await cache.touch("touch", timeout) is True
    assert await cache.touch("absent", timeout) is False
    assert await cache.set_many({"many": 2}, timeout) == []
    assert await cache.set("xx", 2, timeout, xx=True) is True
    assert await cache.add("added", 1, timeout) is True
    assert await cache.get_many(["set", "touch", "many", "xx", "added"]) == {}
    await cache.set("there", 1)
    assert await cache.add("there", 2, timeout) is False
    assert await cache.get("there") == 1


@pytest.mark.parametrize(
    ("timeout", "left"),
    [(None, None), (9.6, 9.6), (60 * 60 * 24 * 31, 60 * 60 * 24 * 31), (decimal.Decimal("9.5"), 9.5), (10**30, 1e10)],
)
async def test_timeouts_are_seconds(cache: Any, timeout: Any, left: float | None) -> None:
    """None has no end, a fraction counts, and a month is not a date in 1970."""
    await cache.set("set", 1, timeout)
    await cache.add("add", 1, timeout)
    await cache.set_many({"many": 1}, timeout)
    await cache.set("touch", 1, 100)
    await cache.touch("touch", timeout)

    for key in ("set", "add", "many", "touch"):
        found = await cache.ttl(key)
        assert found is None if left is None else left - 9 < found <= left


async def test_a_fraction_of_a_second_ends(cache: Any) -> None:
    """What is kept for 0.6 s is there before and gone after."""
    before = time.monotonic()
    await cache.set("key", 1, 0.6)
    found = await cache.get("key")
    assert found == 1 or time.monotonic() - before >= 0.6
    await asyncio.sleep(0.65)

    assert await cache.get("key") is None
    assert await cache.ttl("key") == 0


@pytest.mark.parametrize("timeout", ["soon", float("nan"), dt.timedelta(1)])
async def test_a_timeout_that_is_no_number_is_refused(cache: Any, timeout: Any) -> None:
    """It is an error before anything is written."""
    with pytest.raises(InvalidTTLError):
        await cache.set("key", 1, timeout)

    assert await cache.get("key") is None


async def test_the_default_timeout_is_the_settings(new_cache: Any) -> None:
    """TIMEOUT counts where no timeout is given."""
    cache = new_cache(TIMEOUT=30)
    await cache.set("key", 1)

    assert 29 < await cache.ttl("key") <= 30


@pytest.mark.faults(165)
async def test_counting(cache: Any) -> None:
    """A missing key is a ValueError, what is no number a TypeError, and 64 bits are not left silently."""
    await cache.set_many({"text": "1", "true": True, "none": None, "float": 1.5, "high": 2**63 - 2, "list": [1]})
    for key in ("text", "true", "none", "float", "list"):
        with pytest.raises(NotACounterError) as caught:
            await cache.incr(key)
        assert isinstance(caught.value, TypeError)
    for change in (cache.incr, cache.decr, cache.incr_version):
        with pytest.raises(ValueError, match="absent"):
            await change("absent")
    assert await cache.incr("high") == 2**63 - 1
    with pytest.raises(CounterOverflowError):
        await cache.incr("high")
    with pytest.raises(TypeError):
        await cache.decr("high", "1")

    assert await cache.get("high") == 2**63 - 1
    assert await cache.get("absent") is None
    assert await cache.decr("high", 2**63 - 1) == 0
    assert await cache.incr("high", -5) == -5


@pytest.mark.faults(165)
async def test_counting_keeps_the_expiry(cache: Any) -> None:
    """A counter ends when it would have, and so does a key that moves to another version."""
    await cache.set("count", 1, 40)
    await cache.incr("count")
    await cache.decr("count")
    assert 30 < await cache.ttl("count") <= 40
    assert await cache.incr_version("count") == 2

    assert 30 < await cache.ttl("count", version=2) <= 40
    assert await cache.get("count") is None
    assert await cache.decr_version("count", version=2) == 1
    assert await cache.get("count") == 1


@pytest.mark.faults(165)
def test_threads_count_together(new_cache: Any) -> None:
    """Of 8 threads' increments none is lost."""
    cache = new_cache().thing
    cache.set("count", 0)
    each = 1000 // SHARE

    def count() -> None:
        for _ in range(each):
            cache.incr("count")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.get("count") == 8 * each


async def test_tasks_count_together(cache: Any) -> None:
    """Of 50 tasks' increments none is lost, and of 50 tasks' adds one wins."""
    await cache.set("count", 0)

    added = await asyncio.gather(*[cache.add("add", number) for number in range(50)])
    await asyncio.gather(*[cache.incr("count") for _ in range(50)])

    assert await cache.get("count") == 50
    assert sum(added) == 1


async def test_conditional_sets(cache: Any) -> None:
    """`nx` is for what is not there, `xx` for what is."""
    assert await cache.set("key", 1, nx=True) is True
    assert await cache.set("key", 2, nx=True) is False
    assert await cache.set("absent", 1, xx=True) is False
    assert await cache.set("key", 3, xx=True) is True

    assert await cache.get("key") == 3
    assert await cache.get("absent") is None


async def test_ttl_expire_persist(cache: Any) -> None:
    """A key's end can be read, set and taken away."""
    await cache.set("key", 1, 50)
    assert 49 < await cache.ttl("key") <= 50
    assert await cache.expire("key", 20) is True
    assert 19 < await cache.ttl("key") <= 20
    assert await cache.persist("key") is True
    assert await cache.ttl("key") is None
    assert await cache.persist("absent") is False
    assert await cache.ttl("absent") == 0


@pytest.mark.faults(164)
@pytest.mark.parametrize("extra", ["", "*", "\\", "[a]", ":", "%"])
async def test_listing_and_deleting_by_pattern(new_cache: Any, prefix: str, extra: str) -> None:
    """Patterns see the keys as they were given, of their version alone, whatever the prefix holds."""
    cache = new_cache(KEY_PREFIX=prefix + extra)
    other = new_cache("other", KEY_PREFIX=prefix + "x", OPTIONS={"COLLECTION": cache.thing.collection})
    await cache.set_many({"a:1": 1, "a:2": 2, "b": 3, "[a]": 4})
    await cache.set("a:3", 5, version=2)
    await other.set("a:4", 6)

    assert sorted(await cache.keys()) == ["[a]", "a:1", "a:2", "b"]
    assert sorted(await cache.keys("a:?")) == ["a:1", "a:2"]
    assert await cache.keys("*", version=2) == ["a:3"]
    assert await cache.delete_pattern("a:*") == 2
    assert sorted(await cache.keys()) == ["[a]", "b"]
    assert await cache.get("a:3", version=2) == 5
    assert await other.get("a:4") == 6


async def test_keys_that_are_changed_cannot_be_listed(new_cache: Any) -> None:
    """Where KEY_FUNCTION hides the key, listing says so."""
    cache = new_cache(KEY_FUNCTION=lambda key, prefix, version: f"{prefix}{version}{hash(key)}")

    with pytest.raises(UnsupportedOperationError, match="KEY_FUNCTION"):
        await cache.keys()


async def test_clear_empties_this_cache_alone(new_cache: Any, prefix: str) -> None:
    """Other caches, other collections of the store and keys that are not ours stay."""
    cache = new_cache()
    other = new_cache("other", KEY_PREFIX=f"{prefix}2")
    store = kv_django.stores["default"]
    await cache.set_many({"a": 1, "b": 2})
    await other.set("a", 3)
    store.put("a", {"mine": True}, collection=f"{prefix}-app")

    await cache.clear()

    assert await cache.get_many(["a", "b"]) == {}
    assert await other.get("a") == 3
    assert store.get("a", collection=f"{prefix}-app") == {"mine": True}
    store.destroy_collection(f"{prefix}-app")


def test_clear_leaves_foreign_keys(settings: Any, redis_server: Any, prefix: str) -> None:
    """On a shared Redis, `clear` touches nothing that another application wrote."""
    import redis

    settings.KV_STORES = {"default": redis_server.url}
    settings.CACHES = {
        "default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default", "KEY_PREFIX": prefix}
    }
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"{prefix}:foreign", "x", ex=60)
        client.set(f"cache:{prefix}:1:key", "x", ex=60)
        caches["default"].set("key", 1)
        caches["default"].clear()

        assert client.exists(f"{prefix}:foreign", f"cache:{prefix}:1:key") == 2
        client.delete(f"{prefix}:foreign", f"cache:{prefix}:1:key")


async def test_both_sides_see_the_same(new_cache: Any) -> None:
    """What one side caches the other finds; sync methods work inside a running loop."""
    cache = new_cache().thing
    cache.set("sync", {"a": 1})
    await cache.aset("aio", {"a": 2})

    assert await cache.aget("sync") == {"a": 1}
    assert cache.get("aio") == {"a": 2}
    assert cache.incr_version("sync") == 2
    assert await cache.aincr_version("sync", version=2) == 3
    assert sorted(cache.get_many(["aio"])) == ["aio"]


def test_loops_after_and_beside_each_other(new_cache: Any) -> None:
    """One cache object serves a loop, the next loop, and two loops in two threads."""
    cache = new_cache().thing

    async def count() -> int:
        await cache.aget("nothing")
        return await cache.aget_or_set("count", 0) + await cache.aincr("count")

    assert [asyncio.run(count()), asyncio.run(count())] == [1, 3]
    threads = [threading.Thread(target=lambda: asyncio.run(count())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("count") == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_fork_goes_on(settings: Any, redis_server: Any, prefix: str) -> None:
    """Parent and child both work on after a fork, each on a connection of its own."""
    settings.KV_STORES = {"default": redis_server.url}
    settings.CACHES = {
        "default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default", "KEY_PREFIX": prefix}
    }
    cache = caches["default"]
    cache.set("count", 0)
    asyncio.run(cache.aincr("count"))
    child = os.fork()
    if child == 0:
        try:
            for _ in range(50):
                cache.incr("count")
            asyncio.run(cache.aincr("count"))
        except BaseException:  # noqa: BLE001 - whatever it is, the child ends here
            os._exit(1)
        os._exit(0)
    for _ in range(50):
        cache.incr("count")

    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("count") == 102
    cache.clear()


def test_methods_with_an_a_do_not_cross_threads() -> None:
    """Every method for loops is our own: Django's cross to a thread, some of them only where a method is overridden."""
    names = [name for name in dir(KeyValueCache) if name.startswith("a") and not name.startswith("add")]
    names = [name for name in names if asyncio.iscoroutinefunction(getattr(KeyValueCache, name))]
    bridged = [name for name in names if getattr(KeyValueCache, name).__module__.startswith("django")]

    assert bridged == []
    assert len(names) >= 20


async def test_only_what_may_wait_is_pickled_in_a_thread(new_cache: Any) -> None:
    """Plain values never leave the loop; an object with code of its own is pickled beside it, and before any lock."""
    cache = new_cache().thing
    here = threading.get_ident()
    plain, lazy = Pickled(), Pickled()
    cache.set("sync", plain)
    await cache.aset("aio", lazy)
    await cache.aset_many({"many": [lazy], "plain": 1})

    assert set(plain.threads) == {here}
    assert here not in lazy.threads
    assert len(lazy.threads) == 2


class Pickled:
    """Something that remembers in which threads it was pickled."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __reduce__(self) -> Any:
        self.threads.append(threading.get_ident())
        return (Pickled, ())


async def test_a_lazy_queryset_is_cached(cache: Any, django_db_blocker: Any) -> None:
    """Pickling one asks the database, which Django forbids in a loop; nothing of that shows."""
    from asgiref.sync import sync_to_async
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    def create() -> None:
        with connection.schema_editor() as editor:
            editor.create_model(ContentType)
        ContentType.objects.create(app_label="app", model="thing")

    def drop() -> None:
        with connection.schema_editor() as editor:
            editor.delete_model(ContentType)
        connection.close()

    with django_db_blocker.unblock():
        await sync_to_async(create)()
        if cache.side:
            await cache.set("rows", ContentType.objects.all())
        else:
            await sync_to_async(cache.thing.set)("rows", ContentType.objects.all())
        await sync_to_async(drop)()
    found = await cache.get("rows")

    assert [row.model for row in found] == ["thing"]


@pytest.mark.parametrize("value", [lambda: 0, threading.Lock(), (number for number in ())], ids=["def", "lock", "gen"])
async def test_what_cannot_be_pickled_is_refused(cache: Any, value: Any) -> None:
    """It is an error with a name, and the old value stays."""
    await cache.set("key", 1)
    with pytest.raises(SerializationError, match="cannot be pickled"):
        await cache.set("key", value)

    assert await cache.get("key") == 1


JSON = [1, "a", None, True, 1.5, {"a": [1, {"b": None}]}, [], {}]


@pytest.mark.parametrize("value", JSON, ids=repr)
async def test_the_json_serializer_keeps_json(new_cache: Any, value: Any) -> None:
    """What JSON can hold comes back as it was."""
    cache = new_cache(OPTIONS={"SERIALIZER": "json"})
    await cache.set("key", value)

    assert await cache.get("key") == value


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)
NOT_JSON = [
    (1,),
    {"a": (1,)},
    b"1",
    {1: 2},
    {1},
    2**64,
    float("inf"),
    "\ud800",
    Colour.RED,
    decimal.Decimal(1),
    CIRCULAR,
]


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: f"{value!r:.20}".encode(errors="replace").decode())
async def test_the_json_serializer_refuses_the_rest(new_cache: Any, value: Any) -> None:
    """What would come back as something else is an error, not a pickle."""
    cache = new_cache(OPTIONS={"SERIALIZER": "json"})
    with pytest.raises(SerializationError):
        await cache.set("key", value)

    assert await cache.get("key") is None


async def test_odd_keys_warn_as_django_says(cache: Any) -> None:
    """Keys that memcached would refuse warn, and work; keys need not be text."""
    with pytest.warns(CacheKeyWarning, match="memcached"):
        await cache.set("with space", 1)
    with pytest.warns(CacheKeyWarning, match="longer than 250"):
        await cache.set("x" * 300, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        assert await cache.get("with space") == 1
        assert await cache.get("x" * 300) == 2
    await cache.set(7, "number")
    await cache.set(mark_safe("safe"), "safe")

    assert await cache.get("7") == "number"
    assert await cache.get("safe") == "safe"


class Strict(KeyValueCache):
    def validate_key(self, key: str) -> None:
        raise InvalidCacheKey(key)


class Named(KeyValueCache):
    def make_key(self, key: Any, version: int | None = None) -> str:
        return mark_safe(f"named {key}")


def test_a_subclass_may_validate_and_make_keys() -> None:
    """Overriding `validate_key` and `make_key` works as with Django's own backends."""
    strict, named = Strict("memory://", {}), Named("memory://", {})
    with pytest.raises(InvalidCacheKey):
        strict.get("key")
    with pytest.warns(CacheKeyWarning):
        named.set("key", 1)

    assert named.store.keys("cache") == ["named key"]


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    ("location", "options", "text"),
    [
        ("memory://", {"MAX_ENTRYS": 1}, "Did you mean 'MAX_ENTRIES'"),
        ("memory://", {"SERIALIZER": "pickle"}, "signed-pickle"),
        ("memory://", {"MAX_ENTRIES": 0}, "max_entries_per_collection"),
        ("memory://", {"WRAPPERS": ["retri"]}, "retry"),
        ("kv:nowhere", {}, "nowhere"),
        ("kv:nowhere", {"WRAPPERS": ["retry"]}, "nowhere"),
        ("", {}, "URL"),
        ("memory://", {"COLLECTION": 5}, "COLLECTION"),
        ("memory://", {"COLLECTION": "\ud800"}, "COLLECTION"),
        ("redis://:secret@host/abc", {}, "database number"),
    ],
)
def test_bad_settings_are_refused_at_once(location: str, options: dict[str, Any], text: str) -> None:
    """They are an error before the first request, Django's ImproperlyConfigured among its kinds, without secrets."""
    from django.core.exceptions import ImproperlyConfigured

    with (
        pytest.raises(ConfigurationError, match=text) as caught,
        modify_settings(INSTALLED_APPS={"remove": "kv_django"}),
    ):
        KeyValueCache(location, {"OPTIONS": options})
    with pytest.raises(ConfigurationError, match=text):
        KeyValueCache(location, {"OPTIONS": options}).get("key")

    assert isinstance(caught.value, ImproperlyConfigured)
    assert "secret" not in str(caught.value)


def test_the_constructor_connects_nowhere(start_redis: Any) -> None:
    """A cache on a server that is gone can be made; using it is an error with a name, not a miss."""
    server = start_redis()
    server.kill()
    cache = KeyValueCache(server.url, {})
    start = time.monotonic()
    with pytest.raises(StoreConnectionError):
        cache.get("key")
    with pytest.raises(StoreConnectionError):
        asyncio.run(cache.aget("key"))
    kv_django.close_stores()

    assert time.monotonic() - start < 5


def test_max_entries_counts_in_memory() -> None:
    """The least recently used go first, as many at once as CULL_FREQUENCY says."""
    cache = KeyValueCache("memory://", {"OPTIONS": {"MAX_ENTRIES": 9, "CULL_FREQUENCY": 3}})
    for number in range(9):
        cache.set(number, number)
    cache.get(0)
    cache.set(9, 9)

    assert sorted(cache.get_many(range(10))) == [0, 4, 5, 6, 7, 8, 9]
