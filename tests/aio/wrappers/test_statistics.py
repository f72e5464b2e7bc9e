"""What passes is counted: exactly, and in bounded memory."""

import os
import pickle
import threading

import pytest

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.statistics import StatisticsWrapper
from kv_core.counters import MAX_COLLECTIONS, OTHER, Counters
from kv_core.errors import StoreConnectionError

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


class TestStatisticsWrapper(StoreContract):
    """The contract, counted."""

    @pytest.fixture
    def make(self, inner):
        return lambda: StatisticsWrapper(inner())


async def test_it_counts_hits_and_misses():
    """Each key asked for is a hit or a miss; the rate is of reads alone."""
    store = StatisticsWrapper(MemoryStore())
    await store.put("a", {})
    await store.get("a")
    await store.get("b")
    await store.get_many(["a", "b", "c"], collection="other")
    await store.ttl("a")
    await store.delete("b")

    seen = store.get_statistics()
    assert (seen.operation("get").count, seen.operation("get").hits, seen.operation("get").misses) == (2, 1, 1)
    assert seen.operation("get").hit_rate() == 0.5
    assert (seen.operation("get_many").count, seen.operation("get_many").misses) == (1, 3)
    assert (seen.hits, seen.misses, seen.hit_rate()) == (2, 4, pytest.approx(1 / 3))
    assert seen.operation("delete").misses == 1
    assert seen.get_collection("other").misses == 3
    assert seen.get_collection("default_collection").operation("put").count == 1
    assert seen.count == 6


async def test_it_counts_errors(flaky):
    """A call that raises is counted, and its error passes."""
    store = StatisticsWrapper(flaky(MemoryStore(), StoreConnectionError("down")))

    with pytest.raises(StoreConnectionError):
        await store.get("a")

    assert store.statistics.errors == 1
    assert store.statistics.operation("get").count == 1


async def test_what_was_read_does_not_change():
    """The statistics are a copy, and resetting begins anew."""
    store = StatisticsWrapper(MemoryStore())
    await store.get("a")
    seen = store.get_statistics()
    await store.get("a")

    assert seen.operation("get").count == 1
    assert store.statistics.operation("get").count == 2
    store.reset_statistics()
    assert store.statistics.count == 0


@pytest.mark.faults(95)
def test_threads_and_collections():
    """Counts are exact under threads; collections beyond the limit are counted together."""
    counters = Counters()
    each = 10_000 // SHARE

    def work(thread: int) -> None:
        for number in range(each):
            counters.record("get", f"{thread}-{number}", 1e-6, hits=1)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seen = counters.read("default_collection")
    assert seen.operation("get").count == seen.hits == 8 * each
    assert len(seen.collections) == MAX_COLLECTIONS + 1
    assert sum(one.count for one in seen.collections.values()) == 8 * each
    assert seen.get_collection(OTHER).count == 8 * each - MAX_COLLECTIONS


@pytest.mark.faults(95)
async def test_a_million_collections_take_no_more_room_than_a_thousand(backend):
    """Beyond the limit nothing is kept for a collection, and every call is counted."""
    inside = backend()
    store = StatisticsWrapper(inside)
    number = (1_000_000 if isinstance(inside, MemoryStore) else 100_000) // SHARE
    for one in range(number):
        await store.get("key", collection=str(one))
        if one == MAX_COLLECTIONS:
            kept = len(pickle.dumps(store.statistics))

    assert len(store.statistics.collections) == MAX_COLLECTIONS + 1
    assert len(pickle.dumps(store.statistics)) < kept + 1000
    assert store.statistics.operation("get").misses == number
    assert store.statistics.get_collection(OTHER).count == number - MAX_COLLECTIONS


def test_percentiles():
    """A percentile is at least the true one, and at most a quarter more."""
    counters = Counters()
    for microseconds in range(1, 1001):
        counters.record("get", None, microseconds / 1e6)

    get = counters.read("default_collection").operation("get")
    for percent in (50, 95, 99):
        assert percent * 1e-5 <= get.percentile(percent) <= percent * 1.25e-5
    assert get.seconds == pytest.approx(0.5005)
