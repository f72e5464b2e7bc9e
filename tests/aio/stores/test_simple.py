"""SimpleStore passes the contract, evicts when told, gives room back, and is shared by the twins of a stack."""

import os
import threading

import pytest

from kv_core.aio.stores.simple import SimpleStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.capabilities import ALL, capabilities
from kv_core.errors import ConfigurationError
from kv_core.simple_table import SimpleTable

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


@pytest.fixture
def clock():
    """A clock that stands still until it is told."""
    return ToldClock()


class TestContract(StoreContract):
    """The contract, on a told clock."""

    @pytest.fixture
    def make(self, clock):
        table = SimpleTable()
        return lambda: SimpleStore(_shared=table, _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


async def test_it_has_every_operation():
    """Nothing of the protocol is missing."""
    assert capabilities(SimpleStore()) == ALL


@pytest.mark.faults(54)
async def test_entries_end_at_the_microsecond(clock):
    """One microsecond before its end an entry is there for every read, and at its end for none."""
    store = SimpleStore(_clock=clock)
    await store.put("key", {"n": 1}, ttl=10)
    await clock.advance(10 - 1e-6)

    assert await store.get("key") == {"n": 1}
    assert await store.get_many(["key"]) == [{"n": 1}]
    assert await store.keys() == ["key"]
    assert await store.cull() == 0
    await clock.advance(1e-6)
    assert await store.get("key") is None
    assert await store.ttl_many(["key"]) == [(None, None)]
    assert await store.keys() == []
    assert await store.delete("key") is False


@pytest.mark.faults(57)
async def test_room_of_ended_entries_is_given_back(clock):
    """Of many entries that have ended few lie there at any time, though nobody culls."""
    store = SimpleStore(_clock=clock)
    most = 0
    for number in range(100_000 // SHARE):
        await store.put(f"key{number}", {"n": number}, ttl=0.01)
        most = max(most, len(store._table.entries))
        if not number % 10:
            await clock.advance(0.01)

    assert most < 200
    await clock.advance(1)
    await store.cull()
    assert len(store._table.entries) == 0


async def test_the_first_are_evicted():
    """Beyond max_entries, over all collections, the entries whose keys came first go; overwriting evicts nothing."""
    store = SimpleStore(max_entries=3)
    for collection in ("a", "b"):
        await store.put("1", {}, collection=collection)
        await store.put("2", {}, collection=collection)
        await store.put("2", {"n": 2}, collection=collection)

    assert await store.keys("a") == ["2"]
    assert await store.keys("b") == ["1", "2"]


@pytest.mark.faults(102)
async def test_reading_creates_nothing():
    """Reading collections that were never written leaves nothing behind."""
    store = SimpleStore()
    for number in range(20_000 // SHARE):
        assert await store.get("key", collection=f"collection{number}") is None

    assert not store._table.entries


@pytest.mark.faults(132)
def test_a_child_has_a_lock_of_its_own():
    """A lock that another thread holds when the process forks does not stop the child."""
    table = SimpleTable()
    holder = threading.Thread(target=table.lock.acquire)
    holder.start()
    holder.join()
    assert not table.lock.acquire(blocking=False)

    table.renew_lock()

    assert table.lock.acquire(blocking=False)


@pytest.mark.faults(120)
@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_entries": "1"}, {"timeout": 0}])
def test_wrong_options(options):
    """What cannot work is refused when the store is made."""
    with pytest.raises(ConfigurationError):
        SimpleStore(**options)
