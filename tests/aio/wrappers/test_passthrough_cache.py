"""A fast store stands in front of a slow one, and never answers with what was there before."""

import logging
from uuid import uuid4

import pytest

from kv_core.aio._runtime import gather, sleep
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.aio.wrappers._calls import Call, CallWrapper
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.errors import (
    ConfigurationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
)


class Interrupt(BaseException):
    """Something that is no error, as a cancellation or Ctrl-C."""


class Switch(CallWrapper):
    """A store that is down when the test says so, and lets the test do something before or after a call."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.error = None
        self.calls = []
        self.before = {}
        self.after = {}

    def down(self, error=None):
        self.error = StoreConnectionError("down") if error is None else error

    def up(self):
        self.error = None

    async def _around(self, call: Call):
        self.calls.append(call.name)
        if call.name in self.before:
            await self.before.pop(call.name)()
        if self.error is not None:
            raise self.error
        result = await call(self.key_value)
        if call.name in self.after:
            await self.after.pop(call.name)()
        return result


@pytest.fixture
def clock():
    return ToldClock()


@pytest.fixture
def slow(backend):
    return Switch(backend())


@pytest.fixture
def fast():
    return Switch(MemoryStore())


@pytest.fixture
def store(slow, fast):
    return PassthroughCacheWrapper(slow, fast)


class TestPassthroughCacheWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PassthroughCacheWrapper(inner(), MemoryStore())


class TestPassthroughCacheWrapperInRedis(StoreContract):
    """The contract, with the cache on the backend, and with absence cached, too."""

    @pytest.fixture
    def make(self, inner):
        name = uuid4().hex
        return lambda: PassthroughCacheWrapper(MemoryStore(name=name), inner(), missing_ttl=60)


# Reads ----------------------------------------------------------------------------------------------------------------


async def test_what_was_read_is_read_from_the_cache(store, slow, fast):
    """The second read of a key does not ask the store, alone or in bulk; each answer is a copy."""
    await slow.put_many(["a", "b"], [{"list": [1]}, {"n": 2}])
    slow.calls.clear()

    (await store.get("a"))["list"].append(2)
    assert slow.calls == ["ttl_many"]
    (await store.get("a"))["list"].append(2)
    assert await store.get_many(["a", "b", "a", "none"]) == [{"list": [1]}, {"n": 2}, {"list": [1]}, None]
    found = await store.get_many(["a", "b", "a"])
    found[0]["list"].append(3)
    assert found[2] == {"list": [1]}
    assert slow.calls == ["ttl_many", "ttl_many"]
    assert await store.get_many([]) == []


async def test_a_copy_ends_no_later_than_its_entry(clock):
    """A copy has the entry's remaining ttl, or maximum_ttl if that is less; what another wrote is seen after it."""
    slow, fast = Switch(MemoryStore(_clock=clock)), MemoryStore(_clock=clock)
    store = PassthroughCacheWrapper(slow, fast, maximum_ttl=10)
    await slow.put_many(["short", "long", "endless"], [{"n": 1}] * 3, ttl=[5, 100, None])
    await store.get_many(["short", "long", "endless"])
    for key in ("short", "long", "endless"):
        await slow.key_value.put(key, {"n": 2})

    await clock.advance(4.999)
    assert await store.get_many(["short", "long", "endless"]) == [{"n": 1}] * 3
    await clock.advance(0.001)
    assert await store.get_many(["short", "long", "endless"]) == [{"n": 2}, {"n": 1}, {"n": 1}]
    await clock.advance(5)
    assert await store.get_many(["short", "long", "endless"]) == [{"n": 2}] * 3


async def test_a_copy_ends_no_later_than_its_entry_however_long_the_load_took(clock):
    """The time that the store's answer took is taken off; what may have ended meanwhile is not copied."""
    slow, fast = Switch(MemoryStore(_clock=clock)), MemoryStore()
    store = PassthroughCacheWrapper(slow, fast)

    async def wait():
        await sleep(0.2)

    slow.after = {"ttl_many": wait}
    await slow.put_many(["long", "short"], [{}, {}], ttl=[60, 0.1])

    assert await store.get_many(["long", "short"]) == [{}, {}]
    assert (await fast.ttl("long"))[1] <= 59.81
    assert await fast.get("short") is None


@pytest.mark.faults(85)
async def test_absence_is_cached_only_if_asked_for(slow, clock):
    """200 reads of a missing key ask 200 times, or once in missing_ttl; a put ends that at once."""
    fast = MemoryStore(_clock=clock)
    store = PassthroughCacheWrapper(slow, fast)
    for _ in range(200):
        assert await store.get("none") is None
    assert slow.calls == ["ttl_many"] * 200
    assert await fast.keys() == []

    slow.calls.clear()
    remembering = PassthroughCacheWrapper(slow, fast, missing_ttl=3)
    for _ in range(200):
        assert await remembering.get("none") is None
    assert await remembering.get_many(["none"]) == [None]
    assert slow.calls == ["ttl_many"]
    await clock.advance(3)
    assert await remembering.get("none") is None
    assert slow.calls == ["ttl_many"] * 2
    assert await remembering.put_if_absent("none", {"n": 1})
    assert await remembering.get("none") == {"n": 1}


@pytest.mark.faults(37)
async def test_a_value_like_what_the_cache_keeps(slow, fast):
    """A value of the user's is never taken for the mark of an absent entry."""
    store = PassthroughCacheWrapper(slow, fast, missing_ttl=60)
    for value in ({"absent": True}, {"value": {}}, {}, {"value": None}):
        await store.put("key", value)
        assert await store.get("key") == value
        assert await store.get("key") == value
        assert await store.get_many(["key"]) == [value]


async def test_a_cache_that_is_down_costs_its_help_only(store, slow, fast, caplog):
    """Reads go on without the cache, and say so without showing anything."""
    await slow.put("key", {"n": "canary"})
    fast.down()
    with caplog.at_level(logging.WARNING):
        assert await store.get("key") == {"n": "canary"}
        assert await store.get_many(["key", "none"]) == [{"n": "canary"}, None]
    assert "The cache cannot be read: StoreConnectionError" in caplog.text
    assert "canary" not in caplog.text

    fast.up()
    slow.calls.clear()
    await store.get("key")
    await store.get("key")
    assert slow.calls == ["ttl_many"]


async def test_the_stores_error_is_raised(store, slow, fast):
    """When the store is down, what is cached is read, and the rest raises."""
    await store.put("key", {"n": 1})
    await store.get("key")
    slow.down()

    assert await store.get("key") == {"n": 1}
    with pytest.raises(StoreConnectionError):
        await store.get("other")
    with pytest.raises(StoreConnectionError):
        await store.get_many(["key", "other"])


async def test_stores_with_different_default_collections():
    """The copy of an entry without a named collection lies where the store says."""
    fast = MemoryStore(default_collection="other")
    store = PassthroughCacheWrapper(MemoryStore(default_collection="app"), fast)
    await store.put("key", {"n": 1})
    assert await store.get("key") == await store.get("key", collection="app") == {"n": 1}
    assert await fast.collections() == ["app"]

    await store.put("key", {"n": 2}, collection="app")
    assert await store.get("key") == {"n": 2}


@pytest.mark.faults(120)
@pytest.mark.parametrize("options", [{"maximum_ttl": 0}, {"missing_ttl": -1}, {"maximum_ttl": float("nan")}])
def test_ttls_are_checked(options):
    """A ttl that is not more than 0 is refused at construction."""
    with pytest.raises(ConfigurationError, match="PassthroughCacheWrapper"):
        PassthroughCacheWrapper(MemoryStore(), MemoryStore(), **options)


# Writes ---------------------------------------------------------------------------------------------------------------

WRITES = {
    "put": lambda store: store.put("key", {"value": 2}),
    "put_many": lambda store: store.put_many(["key", "b"], [{"value": 2}] * 2),
    "put_if_present": lambda store: store.put_if_present("key", {"value": 2}),
    "increment": lambda store: store.increment("key"),
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: store.delete_many(["key"]),
    "touch": lambda store: store.touch("key", ttl=5),
    "destroy": lambda store: store.destroy(),
    "destroy_collection": lambda store: store.destroy_collection("default_collection"),
}


@pytest.mark.faults(84)
@pytest.mark.parametrize("name", WRITES)
async def test_every_write_is_seen(store, slow, fast, name):
    """After any write the next read is of what it left, and its ttl."""
    await store.put("key", {"value": 1})
    await store.get("key")
    await WRITES[name](store)

    assert await store.get("key") == await slow.key_value.get("key")
    assert await store.get_many(["key"]) == await slow.key_value.get_many(["key"])
    assert name != "touch" or 0 < (await fast.ttl("key"))[1] <= 5


async def test_revisions_pass_the_cache_by(store, slow):
    """Conditional writes by revision are seen, too."""
    await store.put("key", {"n": 1})
    await store.get("key")
    _, revision = await store.get_with_revision("key")
    assert await store.put_if_unchanged("key", {"n": 2}, revision)
    assert await store.get("key") == {"n": 2}
    _, revision = await store.get_with_revision("key")
    assert await store.delete_if_unchanged("key", revision)
    assert await store.get("key") is None


@pytest.mark.faults(84)
@pytest.mark.parametrize("many", [False, True])
async def test_a_write_during_a_load(store, slow, fast, many):
    """What a load read before a write is not what is read after it, however late the load comes to the cache."""
    await slow.put("key", {"n": "old"})
    seen = []

    async def read():
        return (await store.get_many(["key"]))[0] if many else await store.get("key")

    async def after_reading():
        await store.put("key", {"n": "new"})
        seen.append(await read())

    slow.after["ttl_many"] = after_reading
    await read()

    assert seen == [{"n": "new"}]
    assert await fast.get("key") is None
    assert await read() == {"n": "new"}
    assert await read() == {"n": "new"}


@pytest.mark.faults(84)
async def test_a_write_while_a_load_fills_the_cache(store, slow, fast):
    """The same when the write comes as the old value is on its way into the cache."""
    await slow.put("key", {"n": "old"})
    seen = []

    async def before_keeping():
        await store.put("key", {"n": "new"})
        seen.append(await store.get("key"))

    fast.before["put_many"] = before_keeping
    await store.get("key")

    assert seen == [{"n": "new"}]
    assert await store.get("key") == {"n": "new"}


@pytest.mark.faults(84)
async def test_destroying_during_a_load(store, slow, fast):
    """The same when everything is destroyed meanwhile."""
    await slow.put("key", {"n": "old"})

    async def before_keeping():
        await store.destroy()

    fast.before["put_many"] = before_keeping
    await store.get("key")

    assert await store.get("key") is None
    assert await fast.get("key") is None


async def test_a_write_needs_the_cache(store, slow, fast):
    """A write that cannot remove the copy is not made; the copy stays true."""
    await store.put("key", {"n": 1})
    await store.get("key")
    fast.down()
    for write in (lambda: store.put("key", {"n": 2}), lambda: store.delete("key"), store.destroy):
        with pytest.raises(StoreConnectionError) as caught:
            await write()
        assert caught.value.outcome == "not_applied"
    fast.up()

    assert await slow.get("key") == await store.get("key") == {"n": 1}


@pytest.mark.faults(87)
async def test_what_the_cache_does_in_part_is_not_what_the_write_did(slow, halved):
    """Where some copies cannot be removed, nothing is written, and the error says that of every key."""
    fast = halved(MemoryStore())
    store = PassthroughCacheWrapper(slow, fast)
    fast.away = {"b"}

    with pytest.raises(StoreConnectionError, match="away") as caught:
        await store.put_many(["a", "b"], [{}, {}])

    assert caught.value.outcome == "not_applied"
    assert await slow.get_many(["a", "b"]) == [None, None]


async def test_a_write_that_the_cache_held_up_was_not_made(store, slow, fast):
    """The cache may have lost the copy when it gave no answer; the store was not asked."""
    fast.down(StoreTimeoutError("late", outcome="unknown"))

    for call in (lambda: store.put_if_absent("key", {}), store.destroy):
        with pytest.raises(StoreTimeoutError) as caught:
            await call()
        assert caught.value.outcome == "not_applied"
        fast.error = StoreTimeoutError("late", outcome="unknown")
    assert slow.calls == []


async def test_a_write_after_which_the_cache_fails(store, slow, fast, caplog):
    """A copy that may have come during the write and cannot be removed is not read, until it can be."""
    await store.put("key", {"n": 1})

    async def meanwhile():
        await fast.key_value.put("key", {"value": {"n": 1}})
        fast.down()

    slow.after["put"] = meanwhile
    with caplog.at_level(logging.WARNING):
        await store.put("key", {"n": 2})
        assert await store.get("key") == {"n": 2}
    assert "is not read any more" in caplog.text
    assert "still cannot be removed" in caplog.text
    fast.up()
    assert await fast.get("key") == {"value": {"n": 1}}
    slow.calls.clear()
    assert await store.get("key") == {"n": 2}
    assert await store.get("key") == {"n": 2}
    assert slow.calls == ["ttl_many"]


@pytest.mark.parametrize("many", [False, True])
async def test_copies_that_were_in_doubt_are_cached_again(store, slow, fast, many):
    """However many copies were in doubt, each read settles its own; none is given up for good."""

    async def read():
        return (await store.get_many(["key"]))[0] if many else await store.get("key")

    await slow.put("key", {"n": 1})
    store._overlaps.enter_all()
    store._overlaps.leave_all(removed=False)
    await fast.key_value.put("key", {"value": {"n": "stale"}})
    slow.calls.clear()

    assert await read() == {"n": 1}
    assert await read() == {"n": 1}
    assert slow.calls == ["ttl_many"]


async def test_a_copy_that_may_land_late_is_not_read(store, slow, fast):
    """A copy whose put timed out, or was interrupted, is removed before the next read."""
    await slow.put("key", {"n": 1})
    for error in (StoreTimeoutError("late", outcome="unknown"), Interrupt()):

        async def late(error=error):
            fast.down(error)

        fast.after["get_many"] = late
        if isinstance(error, Interrupt):
            with pytest.raises(Interrupt):
                await store.get_many(["key", "other"])
        else:
            await store.get_many(["key", "other"])
        fast.up()
        await fast.key_value.put("key", {"value": {"n": "landed late"}})
        assert await store.get("key") == {"n": 1}
        await fast.key_value.delete("key")


async def test_destroying_without_the_caches_help(slow, fast, caplog):
    """When the copies cannot be destroyed afterwards, they are not read; the store's answer counts."""
    store = PassthroughCacheWrapper(slow, fast)
    await store.put("key", {"n": 1})
    await store.get("key")

    async def meanwhile():
        await fast.key_value.put("key", {"value": {"n": 1}})
        fast.down()

    slow.after["destroy"] = meanwhile
    with caplog.at_level(logging.WARNING):
        assert await store.destroy()
    fast.up()
    assert await store.get("key") is None

    class Lasting(BaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def _capabilities(self):
            return super()._capabilities() - {"destroy", "destroy_collection"}

    cache = MemoryStore()
    store = PassthroughCacheWrapper(slow, Lasting(cache))
    await store.put("key", {"n": 1})
    await store.get("key")
    assert await store.destroy_collection("default_collection")
    assert await cache.get("key") == {"value": {"n": 1}}
    assert await store.get("key") is None


async def test_a_failed_write_leaves_no_copy(store, slow, fast):
    """After a write that may have been made the next read asks the store."""
    await store.put("key", {"n": 1})
    await store.get("key")

    async def fail():
        raise StoreTimeoutError("late", outcome="unknown")

    slow.after["put"] = fail
    with pytest.raises(StoreTimeoutError):
        await store.put("key", {"n": 2})
    assert await store.get("key") == {"n": 2}


async def test_many_reads_at_once(store, slow):
    """However they are asked, all get the value."""
    await slow.put("key", {"n": 1})
    assert await gather(*[store.get("key") for _ in range(10)]) == [{"n": 1}] * 10


async def test_closing_closes_both():
    """Both stores are closed."""
    slow, fast = MemoryStore(), MemoryStore()
    async with PassthroughCacheWrapper(slow, fast) as store:
        await store.put("key", {})

    for one in (slow, fast, store):
        with pytest.raises(StoreClosedError):
            await one.put("key", {})
