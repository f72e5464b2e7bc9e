# Written by tools/mirror.py from tests/aio/stores/test_memory.py: change that file instead.
"""MemoryStore passes the contract, shares by name, evicts when told, and ends entries exactly."""

import gc
import os
import tracemalloc
from uuid import uuid4

import pytest

from kv_core.capabilities import ALL, capabilities
from kv_core.errors import ConfigurationError, EntryTooLargeError, StoreClosedError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.testing._common import call

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


@pytest.fixture
def clock():
    return ToldClock()


class TestMemoryStore(StoreContract):
    """The contract, on a clock that is told."""

    @pytest.fixture
    def advance(self, clock):
        return clock.advance

    @pytest.fixture
    def make(self, clock):
        name = uuid4().hex
        return lambda: MemoryStore(name=name, _clock=clock)


class TestUnnamedMemoryStore(StoreContract):
    """The contract once more, on a store without a name, on the real clock, with a limit that is never met."""

    @pytest.fixture
    def store(self):
        with MemoryStore(max_entries_per_collection=10_000, default_collection="mine") as store:
            yield store


def test_it_has_every_operation():
    """No segment is missing."""
    assert capabilities(MemoryStore()) == ALL


def test_stores_of_one_name_share():
    """Stores of one name hold the same entries; others, and those without a name, their own."""
    name = uuid4().hex
    one, two, other, unnamed = (
        MemoryStore(name=name),
        MemoryStore(name=name),
        MemoryStore(name=name + "x"),
        MemoryStore(),
    )
    one.put("key", {"n": 1})

    assert two.get("key") == {"n": 1}
    assert other.get("key") is None
    assert unnamed.get("key") is None
    one.close()
    assert MemoryStore(name=name).get("key") == {"n": 1}


def test_stores_of_one_name_have_their_own_default_collection():
    """Only the entries are shared; each store has the default collection that it was given."""
    name = uuid4().hex
    MemoryStore(name=name, default_collection="a").put("key", {"n": 1})

    assert MemoryStore(name=name, default_collection="b").get("key") is None
    assert MemoryStore(name=name).get("key", collection="a") == {"n": 1}


@pytest.mark.faults(54)
@pytest.mark.parametrize(("seconds", "there"), [(9.999999, True), (10.0, False), (10.000001, False)])
def test_an_entry_ends_exactly(clock, seconds, there):
    """One microsecond before its end an entry is there, and at its end it is not, for every operation alike."""
    store = MemoryStore(_clock=clock)
    store.put_many(["key", "absent", "present", "touch", "delete", "count"], [{"value": 1}] * 6, ttl=10)
    clock.advance(seconds)

    value = {"value": 1} if there else None
    left = pytest.approx(1e-6, abs=1e-9) if there else None
    assert store.get("key") == value
    assert store.get_many(["key"]) == [value]
    assert store.ttl("key") == (value, left)
    assert store.ttl_many(["key"]) == [(value, left)]
    assert (store.get_with_revision("key") is not None) is there
    assert store.delete("delete") is there
    assert store.touch("touch", ttl=5) is there
    assert store.put_if_present("present", {"n": 2}) is there
    assert store.put_if_absent("absent", {"n": 2}) is not there
    assert store.increment("count", initial=10) == (2 if there else 11)
    keys = store.keys()
    assert ("key" in keys) is there


@pytest.mark.faults(60)
def test_the_wall_clock_may_step(clock):
    """Entries end by the monotonic clock: a wall clock that is set changes nothing."""
    store = MemoryStore(_clock=clock)
    store.put("key", {"n": 1}, ttl=10)

    clock.now = lambda: ToldClock().now().replace(year=2099)

    assert store.ttl("key") == ({"n": 1}, 10.0)


@pytest.mark.faults(57)
def test_room_is_given_back(clock):
    """Entries that ended are dropped as others are written; nothing is left of a hundred thousand of them."""
    store = MemoryStore(_clock=clock)
    count = 100_000 // SHARE
    for number in range(count):
        store.put(f"key {number}", {"n": number}, ttl=0.01, collection=f"collection {number % 7}")
        if number % 100 == 0:
            clock.advance(0.001)
    assert len(store._table) < count // 2
    clock.advance(0.01)

    store.put("last", {"n": 1}, ttl=1)

    assert len(store._table) == 1
    assert len(store._table._ends) == 1
    assert store.collections() == [store.default_collection]
    assert store.keys("collection 1") == []


def test_overwriting_an_entry_takes_no_room(clock):
    """Notes of ends that were overwritten are forgotten, not piled up."""
    store = MemoryStore(_clock=clock)
    for number in range(5000):
        store.put("key", {"n": number}, ttl=3600 + number)

    assert len(store._table._ends) < 200
    assert store.get("key") == {"n": 4999}


def test_a_later_ttl_outlives_an_earlier_one(clock):
    """The note of an earlier end does not drop an entry that was put again."""
    store = MemoryStore(_clock=clock)
    store.put("key", {"n": 1}, ttl=1)
    store.put("key", {"n": 2}, ttl=100)
    store.put("endless", {"n": 1}, ttl=1)
    store.put("endless", {"n": 2})
    clock.advance(50)

    assert store.cull() == 0
    assert store.get_many(["key", "endless"]) == [{"n": 2}, {"n": 2}]


def test_cull_counts(clock):
    """Culling drops what has ended and says how many, exactly."""
    store = MemoryStore(_clock=clock)
    store.put_many(["a", "b", "c"], [{}] * 3, ttl=[1, 2, None])
    store.put("d", {}, collection="other", ttl=1)
    clock.advance(1)

    assert store.cull() == 2
    assert len(store._table) == 2


def test_the_least_recently_used_is_evicted():
    """Beyond the limit of a collection goes what was neither written nor read for longest."""
    store = MemoryStore(max_entries_per_collection=3)
    for key in "abc":
        store.put(key, {"key": key})
    store.get("a")
    store.put("d", {"key": "d"})
    assert sorted(store.keys()) == ["a", "c", "d"]

    store.get_many(["c"])
    store.ttl("a")
    store.put_many(["e"], [{}])

    assert sorted(store.keys()) == ["a", "c", "e"]


@pytest.mark.parametrize("operation", ["put", "put_many", "put_if_present", "touch", "increment", "get_with_revision"])
def test_every_use_counts(operation):
    """Whatever reads, changes or touches an entry makes it the most recently used."""
    store = MemoryStore(max_entries_per_collection=2)
    store.put_many(["used", "old"], [{"value": 1}] * 2)

    call(store, operation, "used")
    store.put("new", {})

    assert sorted(store.keys()) == ["new", "used"]


@pytest.mark.parametrize("write", ["put", "put_if_absent", "increment", "put_many"])
def test_every_write_keeps_the_limit(write):
    """However it is written, a collection holds no more than its limit, and other collections are not touched."""
    store = MemoryStore(max_entries_per_collection=2)
    store.put("key", {}, collection="other")
    for number in range(10):
        key = str(number)
        if write == "increment":
            store.increment(key, initial=0)
        elif write == "put_many":
            store.put_many([key, key + "x", key + "y"], [{}] * 3)
        else:
            getattr(store, write)(key, {})

    assert len(store.keys()) == 2
    assert store.keys("other") == ["key"]


def test_overwriting_evicts_nothing():
    """Writing what is there already takes no room, so nothing goes."""
    store = MemoryStore(max_entries_per_collection=2)
    store.put_many(["a", "b"], [{"n": 1}, {"n": 2}])
    for _ in range(5):
        store.put("b", {"n": 3})

    assert store.get_many(["a", "b"]) == [{"n": 1}, {"n": 3}]


def test_without_a_limit_nothing_is_evicted():
    """A store that was given no limit keeps everything."""
    store = MemoryStore()
    keys = [str(number) for number in range(20_000)]
    store.put_many(keys, [{}] * len(keys))

    assert None not in store.get_many(keys)


@pytest.mark.faults(102)
def test_reads_allocate_nothing():
    """Reading 20,000 collections that were never written leaves nothing behind."""
    store = MemoryStore()
    names = [f"collection {number}" for number in range(20_000)]
    store.get("key", collection="warm")
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for name in names:
            store.get("key", collection=name)
            store.get_many(["key"], collection=name)
            store.ttl("key", collection=name)
            store.delete("key", collection=name)
            store.keys(name)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert store._table._collections == {}
    assert grown < 20_000


@pytest.mark.faults(42)
def test_the_largest_entry():
    """`max_entry_size` bytes are kept, one more is refused by every write, and the old value stays."""
    small = {"t": "x" * 10}
    store = MemoryStore(max_entry_size=14)
    store.put("key", small)

    large = {"t": "x" * 11}
    for write in (store.put, store.put_if_present):
        with pytest.raises(EntryTooLargeError, match="15"):
            write("key", large)
    with pytest.raises(EntryTooLargeError):
        store.put_many(["new", "key"], [small, large])
    with pytest.raises(EntryTooLargeError):
        store.put_if_absent("new", large)

    assert store.get_many(["key", "new"]) == [small, None]


def test_it_is_a_context_manager():
    """Leaving the block closes the store."""
    with MemoryStore() as store:
        store.put("key", {"n": 1})

    with pytest.raises(StoreClosedError):
        store.get("key")


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options",
    [
        {"max_entries_per_collection": 0},
        {"max_entries_per_collection": -1},
        {"max_entries_per_collection": True},
        {"max_entries_per_collection": 1.5},
        {"max_entries_per_collection": -(10**5000)},
        {"max_entry_size": 0},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": True},
        {"timeout": "5"},
        {"timeout": 10**5000},
        {"default_collection": ""},
        {"default_collection": "\ud800"},
        {"default_collection": None},
        {"name": ["a"]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_are_checked(options):
    """An option that is out of range is refused at construction."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        MemoryStore(**options)


def test_it_shows_no_values():
    """What a store looks like tells which it is, not what it holds."""
    assert repr(MemoryStore(default_collection="mine")) == "MemoryStore(default_collection='mine')"
