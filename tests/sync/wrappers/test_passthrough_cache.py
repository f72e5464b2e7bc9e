# Written by tools/mirror.py from tests/aio/wrappers/test_passthrough_cache.py: change that file instead.
"""A fast store stands in front of a slow one, and never answers with what was there before."""

import logging
from uuid import uuid4

import pytest

from kv_core.errors import (
    ConfigurationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.sync._runtime import gather, sleep
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.wrappers._calls import Call, CallWrapper
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.sync.wrappers.passthrough_cache import PassthroughCacheWrapper


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

    def _around(self, call: Call):
        self.calls.append(call.name)
        if call.name in self.before:
            self.before.pop(call.name)()
        if self.error is not None:
            raise self.error
        result = call(self.key_value)
        if call.name in self.after:
            self.after.pop(call.name)()
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


def test_what_was_read_is_read_from_the_cache(store, slow, fast):
    """The second read of a key does not ask the store, alone or in bulk; each answer is a copy."""
    slow.put_many(["a", "b"], [{"list": [1]}, {"n": 2}])
    slow.calls.clear()

    (store.get("a"))["list"].append(2)
    assert slow.calls == ["ttl_many"]
    (store.get("a"))["list"].append(2)
    assert store.get_many(["a", "b", "a", "none"]) == [{"list": [1]}, {"n": 2}, {"list": [1]}, None]
    found = store.get_many(["a", "b", "a"])
    found[0]["list"].append(3)
    assert found[2] == {"list": [1]}
    assert slow.calls == ["ttl_many", "ttl_many"]
    assert store.get_many([]) == []


def test_a_copy_ends_no_later_than_its_entry(clock):
    """A copy has the entry's remaining ttl, or maximum_ttl if that is less; what another wrote is seen after it."""
    slow, fast = Switch(MemoryStore(_clock=clock)), MemoryStore(_clock=clock)
    store = PassthroughCacheWrapper(slow, fast, maximum_ttl=10)
    slow.put_many(["short", "long", "endless"], [{"n": 1}] * 3, ttl=[5, 100, None])
    store.get_many(["short", "long", "endless"])
    for key in ("short", "long", "endless"):
        slow.key_value.put(key, {"n": 2})

    clock.advance(4.999)
    assert store.get_many(["short", "long", "endless"]) == [{"n": 1}] * 3
    clock.advance(0.001)
    assert store.get_many(["short", "long", "endless"]) == [{"n": 2}, {"n": 1}, {"n": 1}]
    clock.advance(5)
    assert store.get_many(["short", "long", "endless"]) == [{"n": 2}] * 3


def test_a_copy_ends_no_later_than_its_entry_however_long_the_load_took(clock):
    """The time that the store's answer took is taken off; what may have ended meanwhile is not copied."""
    slow, fast = Switch(MemoryStore(_clock=clock)), MemoryStore()
    store = PassthroughCacheWrapper(slow, fast)

    def wait():
        sleep(0.2)

    slow.after = {"ttl_many": wait}
    slow.put_many(["long", "short"], [{}, {}], ttl=[60, 0.1])

    assert store.get_many(["long", "short"]) == [{}, {}]
    assert (fast.ttl("long"))[1] <= 59.81
    assert fast.get("short") is None


@pytest.mark.faults(85)
def test_absence_is_cached_only_if_asked_for(slow, clock):
    """200 reads of a missing key ask 200 times, or once in missing_ttl; a put ends that at once."""
    fast = MemoryStore(_clock=clock)
    store = PassthroughCacheWrapper(slow, fast)
    for _ in range(200):
        assert store.get("none") is None
    assert slow.calls == ["ttl_many"] * 200
    assert fast.keys() == []

    slow.calls.clear()
    remembering = PassthroughCacheWrapper(slow, fast, missing_ttl=3)
    for _ in range(200):
        assert remembering.get("none") is None
    assert remembering.get_many(["none"]) == [None]
    assert slow.calls == ["ttl_many"]
    clock.advance(3)
    assert remembering.get("none") is None
    assert slow.calls == ["ttl_many"] * 2
    assert remembering.put_if_absent("none", {"n": 1})
    assert remembering.get("none") == {"n": 1}


@pytest.mark.faults(37)
def test_a_value_like_what_the_cache_keeps(slow, fast):
    """A value of the user's is never taken for the mark of an absent entry."""
    store = PassthroughCacheWrapper(slow, fast, missing_ttl=60)
    for value in ({"absent": True}, {"value": {}}, {}, {"value": None}):
        store.put("key", value)
        assert store.get("key") == value
        assert store.get("key") == value
        assert store.get_many(["key"]) == [value]


def test_a_cache_that_is_down_costs_its_help_only(store, slow, fast, caplog):
    """Reads go on without the cache, and say so without showing anything."""
    slow.put("key", {"n": "canary"})
    fast.down()
    with caplog.at_level(logging.WARNING):
        assert store.get("key") == {"n": "canary"}
        assert store.get_many(["key", "none"]) == [{"n": "canary"}, None]
    assert "The cache cannot be read: StoreConnectionError" in caplog.text
    assert "canary" not in caplog.text

    fast.up()
    slow.calls.clear()
    store.get("key")
    store.get("key")
    assert slow.calls == ["ttl_many"]


def test_the_stores_error_is_raised(store, slow, fast):
    """When the store is down, what is cached is read, and the rest raises."""
    store.put("key", {"n": 1})
    store.get("key")
    slow.down()

    assert store.get("key") == {"n": 1}
    with pytest.raises(StoreConnectionError):
        store.get("other")
    with pytest.raises(StoreConnectionError):
        store.get_many(["key", "other"])


def test_stores_with_different_default_collections():
    """The copy of an entry without a named collection lies where the store says."""
    fast = MemoryStore(default_collection="other")
    store = PassthroughCacheWrapper(MemoryStore(default_collection="app"), fast)
    store.put("key", {"n": 1})
    assert store.get("key") == store.get("key", collection="app") == {"n": 1}
    assert fast.collections() == ["app"]

    store.put("key", {"n": 2}, collection="app")
    assert store.get("key") == {"n": 2}


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
def test_every_write_is_seen(store, slow, fast, name):
    """After any write the next read is of what it left, and its ttl."""
    store.put("key", {"value": 1})
    store.get("key")
    WRITES[name](store)

    assert store.get("key") == slow.key_value.get("key")
    assert store.get_many(["key"]) == slow.key_value.get_many(["key"])
    assert name != "touch" or 0 < (fast.ttl("key"))[1] <= 5


def test_revisions_pass_the_cache_by(store, slow):
    """Conditional writes by revision are seen, too."""
    store.put("key", {"n": 1})
    store.get("key")
    _, revision = store.get_with_revision("key")
    assert store.put_if_unchanged("key", {"n": 2}, revision)
    assert store.get("key") == {"n": 2}
    _, revision = store.get_with_revision("key")
    assert store.delete_if_unchanged("key", revision)
    assert store.get("key") is None


@pytest.mark.faults(84)
@pytest.mark.parametrize("many", [False, True])
def test_a_write_during_a_load(store, slow, fast, many):
    """What a load read before a write is not what is read after it, however late the load comes to the cache."""
    slow.put("key", {"n": "old"})
    seen = []

    def read():
        return (store.get_many(["key"]))[0] if many else store.get("key")

    def after_reading():
        store.put("key", {"n": "new"})
        seen.append(read())

    slow.after["ttl_many"] = after_reading
    read()

    assert seen == [{"n": "new"}]
    assert fast.get("key") is None
    assert read() == {"n": "new"}
    assert read() == {"n": "new"}


@pytest.mark.faults(84)
def test_a_write_while_a_load_fills_the_cache(store, slow, fast):
    """The same when the write comes as the old value is on its way into the cache."""
    slow.put("key", {"n": "old"})
    seen = []

    def before_keeping():
        store.put("key", {"n": "new"})
        seen.append(store.get("key"))

    fast.before["put_many"] = before_keeping
    store.get("key")

    assert seen == [{"n": "new"}]
    assert store.get("key") == {"n": "new"}


@pytest.mark.faults(84)
def test_destroying_during_a_load(store, slow, fast):
    """The same when everything is destroyed meanwhile."""
    slow.put("key", {"n": "old"})

    def before_keeping():
        store.destroy()

    fast.before["put_many"] = before_keeping
    store.get("key")

    assert store.get("key") is None
    assert fast.get("key") is None


def test_a_write_needs_the_cache(store, slow, fast):
    """A write that cannot remove the copy is not made; the copy stays true."""
    store.put("key", {"n": 1})
    store.get("key")
    fast.down()
    for write in (lambda: store.put("key", {"n": 2}), lambda: store.delete("key"), store.destroy):
        with pytest.raises(StoreConnectionError) as caught:
            write()
        assert caught.value.outcome == "not_applied"
    fast.up()

    assert slow.get("key") == store.get("key") == {"n": 1}


@pytest.mark.faults(87)
def test_what_the_cache_does_in_part_is_not_what_the_write_did(slow, halved):
    """Where some copies cannot be removed, nothing is written, and the error says that of every key."""
    fast = halved(MemoryStore())
    store = PassthroughCacheWrapper(slow, fast)
    fast.away = {"b"}

    with pytest.raises(StoreConnectionError, match="away") as caught:
        store.put_many(["a", "b"], [{}, {}])

    assert caught.value.outcome == "not_applied"
    assert slow.get_many(["a", "b"]) == [None, None]


def test_a_write_that_the_cache_held_up_was_not_made(store, slow, fast):
    """The cache may have lost the copy when it gave no answer; the store was not asked."""
    fast.down(StoreTimeoutError("late", outcome="unknown"))

    for call in (lambda: store.put_if_absent("key", {}), store.destroy):
        with pytest.raises(StoreTimeoutError) as caught:
            call()
        assert caught.value.outcome == "not_applied"
        fast.error = StoreTimeoutError("late", outcome="unknown")
    assert slow.calls == []


def test_a_write_after_which_the_cache_fails(store, slow, fast, caplog):
    """A copy that may have come during the write and cannot be removed is not read, until it can be."""
    store.put("key", {"n": 1})

    def meanwhile():
        fast.key_value.put("key", {"value": {"n": 1}})
        fast.down()

    slow.after["put"] = meanwhile
    with caplog.at_level(logging.WARNING):
        store.put("key", {"n": 2})
        assert store.get("key") == {"n": 2}
    assert "is not read any more" in caplog.text
    assert "still cannot be removed" in caplog.text
    fast.up()
    assert fast.get("key") == {"value": {"n": 1}}
    slow.calls.clear()
    assert store.get("key") == {"n": 2}
    assert store.get("key") == {"n": 2}
    assert slow.calls == ["ttl_many"]


@pytest.mark.parametrize("many", [False, True])
def test_copies_that_were_in_doubt_are_cached_again(store, slow, fast, many):
    """However many copies were in doubt, each read settles its own; none is given up for good."""

    def read():
        return (store.get_many(["key"]))[0] if many else store.get("key")

    slow.put("key", {"n": 1})
    store._overlaps.enter_all()
    store._overlaps.leave_all(removed=False)
    fast.key_value.put("key", {"value": {"n": "stale"}})
    slow.calls.clear()

    assert read() == {"n": 1}
    assert read() == {"n": 1}
    assert slow.calls == ["ttl_many"]


def test_a_copy_that_may_land_late_is_not_read(store, slow, fast):
    """A copy whose put timed out, or was interrupted, is removed before the next read."""
    slow.put("key", {"n": 1})
    for error in (StoreTimeoutError("late", outcome="unknown"), Interrupt()):

        def late(error=error):
            fast.down(error)

        fast.after["get_many"] = late
        if isinstance(error, Interrupt):
            with pytest.raises(Interrupt):
                store.get_many(["key", "other"])
        else:
            store.get_many(["key", "other"])
        fast.up()
        fast.key_value.put("key", {"value": {"n": "landed late"}})
        assert store.get("key") == {"n": 1}
        fast.key_value.delete("key")


def test_destroying_without_the_caches_help(slow, fast, caplog):
    """When the copies cannot be destroyed afterwards, they are not read; the store's answer counts."""
    store = PassthroughCacheWrapper(slow, fast)
    store.put("key", {"n": 1})
    store.get("key")

    def meanwhile():
        fast.key_value.put("key", {"value": {"n": 1}})
        fast.down()

    slow.after["destroy"] = meanwhile
    with caplog.at_level(logging.WARNING):
        assert store.destroy()
    fast.up()
    assert store.get("key") is None

    class Lasting(BaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def _capabilities(self):
            return super()._capabilities() - {"destroy", "destroy_collection"}

    cache = MemoryStore()
    store = PassthroughCacheWrapper(slow, Lasting(cache))
    store.put("key", {"n": 1})
    store.get("key")
    assert store.destroy_collection("default_collection")
    assert cache.get("key") == {"value": {"n": 1}}
    assert store.get("key") is None


def test_a_failed_write_leaves_no_copy(store, slow, fast):
    """After a write that may have been made the next read asks the store."""
    store.put("key", {"n": 1})
    store.get("key")

    def fail():
        raise StoreTimeoutError("late", outcome="unknown")

    slow.after["put"] = fail
    with pytest.raises(StoreTimeoutError):
        store.put("key", {"n": 2})
    assert store.get("key") == {"n": 2}


def test_many_reads_at_once(store, slow):
    """However they are asked, all get the value."""
    slow.put("key", {"n": 1})
    assert gather(*[store.get("key") for _ in range(10)]) == [{"n": 1}] * 10


def test_closing_closes_both():
    """Both stores are closed."""
    slow, fast = MemoryStore(), MemoryStore()
    with PassthroughCacheWrapper(slow, fast) as store:
        store.put("key", {})

    for one in (slow, fast, store):
        with pytest.raises(StoreClosedError):
            one.put("key", {})
