"""Which copies may be read: the rules alone, and under many tasks and threads over a primary that comes and goes."""

import asyncio
import contextlib
import os
import random
import threading
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, count
from urllib.parse import urlsplit

import pytest
from forks import Child

from kv_core.aio.stores.disk import DiskStore
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.aio.wrappers.fallback import FallbackWrapper
from kv_core.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.errors import BaseKeyValueError, StoreConnectionError, StoreTimeoutError
from kv_core.overlaps import Ahead, Overlaps
from kv_core.sync.stores.memory import MemoryStore as SyncMemoryStore
from kv_core.sync.wrappers.base import BaseWrapper as SyncBaseWrapper
from kv_core.sync.wrappers.fallback import FallbackWrapper as SyncFallbackWrapper
from kv_core.sync.wrappers.passthrough_cache import PassthroughCacheWrapper as SyncPassthroughCacheWrapper

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20
FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
A, B = ("users", "a"), ("users", "b")


def leave(overlaps, address, *, writing=True, removed=True):
    """End a call as wrappers do, and return whether its copy had to be removed."""
    purge = overlaps.leave([address], writing=writing)
    if purge:
        overlaps.purged(purge, writing=writing, removed=removed)
    return bool(purge)


# Rules ----------------------------------------------------------------------------------------------------------------


def test_a_copy_is_not_trusted_while_its_key_is_written():
    """From the moment a writer enters until it leaves; other keys are."""
    overlaps = Overlaps()
    assert overlaps.trusted(A)
    overlaps.enter([A], writing=True)

    assert not overlaps.trusted(A)
    assert overlaps.trusted(B)
    assert overlaps.alone(A)
    assert not leave(overlaps, A)
    assert overlaps.trusted(A)
    assert not overlaps._keys


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_the_last_to_leave_an_overlap_removes_the_copy(first, second):
    """Two calls of which one writes: nobody is alone, nothing is trusted until the last one removed the copy."""
    overlaps = Overlaps()
    overlaps.enter([A], writing=first)
    overlaps.enter([A], writing=second)

    assert not overlaps.alone(A)
    assert not leave(overlaps, A, writing=first)
    assert not overlaps.trusted(A)
    purge = overlaps.leave([A], writing=second)
    assert purge == [A]
    assert not overlaps.trusted(A)
    overlaps.purged(purge, writing=second, removed=True)
    assert overlaps.trusted(A)
    assert not overlaps._keys


def test_readers_do_not_disturb_each_other():
    """Loads of one key at once are alone, and their copies are trusted."""
    overlaps = Overlaps()
    for _ in range(3):
        overlaps.enter([A], writing=False)

    assert overlaps.alone(A)
    assert overlaps.trusted(A)
    assert not any(leave(overlaps, A, writing=False) for _ in range(3))


def test_who_comes_while_a_copy_is_removed_removes_it_again():
    """A call that enters while another removes the copy after an overlap is not alone either."""
    overlaps = Overlaps()
    overlaps.enter([A], writing=True)
    overlaps.enter([A], writing=True)
    leave(overlaps, A)
    purge = overlaps.leave([A], writing=True)
    overlaps.enter([A], writing=True)

    assert not overlaps.alone(A)
    overlaps.purged(purge, writing=True, removed=True)
    assert not overlaps.trusted(A)
    assert leave(overlaps, A)
    assert overlaps.trusted(A)


def test_what_could_not_be_removed_is_in_doubt():
    """Until it is removed or replaced, whoever leaves; who removed it before the latest doubt does not settle that."""
    overlaps = Overlaps()
    overlaps.enter([A], writing=True)
    overlaps.enter([A], writing=True)
    leave(overlaps, A)
    leave(overlaps, A, removed=False)
    assert not overlaps.trusted(A)
    doubt = overlaps.doubt(A)
    assert doubt

    overlaps.distrust([A])
    overlaps.settle({A: doubt})
    assert not overlaps.trusted(A)
    overlaps.settle({A: overlaps.doubt(A)})
    assert overlaps.trusted(A)
    overlaps.distrust([A, B])
    overlaps.trust([A])
    assert overlaps.trusted(A)
    assert not overlaps.trusted(B)


def test_doubts_are_bounded():
    """Beyond what is remembered every copy is in doubt, but for those that were removed since, as many as that."""
    overlaps = Overlaps(max_remembered=10)
    keys = [("users", str(number)) for number in range(100)]
    overlaps.distrust(keys[:10])
    assert overlaps.trusted(keys[50])
    overlaps.distrust([keys[10]])
    assert not any(map(overlaps.trusted, keys))

    overlaps.trust(keys[:10])
    assert all(map(overlaps.trusted, keys[:10]))
    overlaps.settle({key: overlaps.doubt(key) for key in keys[10:20]})
    assert [overlaps.trusted(key) for key in keys[:30]] == [False] * 10 + [True] * 10 + [False] * 10
    overlaps.distrust([keys[15]])
    assert not overlaps.trusted(keys[15])
    for key in keys:
        overlaps.distrust([key])
        overlaps.trust([key])
    assert len(overlaps._in_doubt) + len(overlaps._settled) <= 20


def test_while_everything_is_removed_nothing_is_trusted():
    """A call about every key overlaps with all; without having removed the copies, all are in doubt."""
    overlaps = Overlaps()
    overlaps.enter([A], writing=True)
    since = overlaps.enter_all()
    overlaps.enter([B], writing=False)
    assert not overlaps.alone(A)
    assert not overlaps.alone(B)
    assert not overlaps.trusted(("users", "c"))
    overlaps.leave_all(removed=True, since=since)
    assert overlaps.trusted(("users", "c"))
    assert leave(overlaps, A)
    assert leave(overlaps, B, writing=False)

    overlaps.enter_all()
    overlaps.leave_all(removed=False)
    assert not overlaps.trusted(A)
    since = overlaps.enter_all()
    overlaps.leave_all(removed=True, since=since)
    assert overlaps.trusted(A)
    overlaps.distrust([A])
    overlaps.enter_all()
    overlaps.leave_all(removed=True)  # not of every collection
    assert not overlaps.trusted(A)
    since = overlaps.enter_all()
    overlaps.distrust([B])
    overlaps.leave_all(removed=True, since=since)
    assert not overlaps.trusted(B)


@FORKING
def test_a_child_has_nobody_inside():
    """After a fork the calls of the parent are not the child's; doubts stay, and a call that forked can end."""
    overlaps = Overlaps()
    overlaps.enter([A], writing=True)
    overlaps.enter_all()
    overlaps.distrust([B])

    def child():
        assert overlaps.trusted(A)
        assert not overlaps.trusted(B)
        assert not leave(overlaps, A)
        assert overlaps.trusted(A)

    Child(child).check()
    assert not overlaps.trusted(A)


def test_what_is_ahead():
    """Keys are ahead until the first store has what was written last, and there are no more than allowed."""
    ahead = Ahead(most=2)
    assert not ahead
    ahead.add([A])
    first = ahead.number(A)
    assert ahead.any([A, B])
    assert not ahead.any([B])
    ahead.add([A])
    ahead.catch_up(A, first)
    assert ahead.number(A)
    assert ahead.has_room([A, B])
    ahead.add([B])
    assert ahead.has_room([A, B])
    assert not ahead.has_room([("users", "c")])
    ahead.catch_up(A, ahead.number(A))
    assert not ahead.number(A)
    ahead.remove_all("others")
    assert ahead
    ahead.add([("others", "a")])
    ahead.remove_all("users")
    assert ahead.any([("others", "a")])
    assert not ahead.number(B)
    ahead.remove_all(None)
    assert not ahead


# Registers ------------------------------------------------------------------------------------------------------------


class History:
    """What was written and read when, counted by one clock; it knows which reads are too old."""

    def __init__(self):
        self._clock = count(1)
        self.writes = {}
        self.reads = []

    def now(self):
        return next(self._clock)

    def write(self, key, value, began, *, acknowledged=True):
        """Note a write that has ended now; one that was not acknowledged may have happened."""
        self.writes.setdefault(key, []).append((value, began, self.now(), acknowledged))

    def read(self, key, value, began):
        """Note a read that has ended now, to be judged when all writes are known."""
        self.reads.append((key, value, began, self.now()))

    def too_old(self):
        """Return the reads that answered with something older than a write acknowledged before they began.

        That is a value none of whose writes, begun before the read ended, had still to end when the latest of the
        acknowledged ones began.
        """
        found = []
        for key in {read[0] for read in self.reads}:
            writes = [("nothing", 0, 0, True), *self.writes.get(key, [])]
            ends, begins = running([(end, began) for _, began, end, acknowledged in writes if acknowledged])
            by_value = {}
            for value, began, end, _ in writes:
                by_value.setdefault(value, []).append((began, end))
            by_value = {value: running(pairs) for value, pairs in by_value.items()}
            for read in self.reads:
                if read[0] == key:
                    latest = highest(ends, begins, read[2])
                    begun, ended = by_value.get(read[1], ([], []))
                    if highest(begun, ended, read[3]) < latest:
                        found.append(read[:3])
        return found


def running(pairs):
    """Return the first parts in order, and for each the highest of the second parts so far."""
    pairs = sorted(pairs)
    return [first for first, _ in pairs], list(accumulate((second for _, second in pairs), max))


def highest(first, second, limit):
    """Return the highest second part of those whose first part is below a limit, -1 if there is none."""
    below = bisect_left(first, limit)
    return second[below - 1] if below else -1


class Trouble:
    """When a primary is up, by a told clock: every 100 ms it comes or goes; and how it fails when it is down."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.milliseconds = 0

    def next(self):
        """Return None, an error that changed nothing, or one that comes when the work is done."""
        self.milliseconds += self.chance.randrange(10)
        if self.milliseconds // 100 % 2 == 0:
            return None
        if self.chance.random() < 0.5:
            return StoreConnectionError("down")
        return StoreTimeoutError("late", outcome="unknown")


class Flapping(BaseWrapper):
    def __init__(self, key_value, trouble):
        self.key_value, self.trouble = key_value, trouble

    async def _pass(self, made):
        await asyncio.sleep(0)
        error = self.trouble.next()
        if error is None or (error.outcome == "unknown" and self.trouble.chance.random() < 0.5):
            found = await made()
            await asyncio.sleep(0)
        if error is not None:
            raise error
        return found

    async def get(self, key, *, collection=None):
        return await self._pass(lambda: self.key_value.get(key, collection=collection))

    async def put(self, key, value, *, collection=None, ttl=None):
        await self._pass(lambda: self.key_value.put(key, value, collection=collection, ttl=ttl))

    async def delete(self, key, *, collection=None):
        return await self._pass(lambda: self.key_value.delete(key, collection=collection))


class SyncFlapping(SyncBaseWrapper):
    def __init__(self, key_value, trouble):
        self.key_value, self.trouble = key_value, trouble

    def _pass(self, made):
        error = self.trouble.next()
        if error is None or (error.outcome == "unknown" and self.trouble.chance.random() < 0.5):
            found = made()
        if error is not None:
            raise error
        return found

    def get(self, key, *, collection=None):
        return self._pass(lambda: self.key_value.get(key, collection=collection))

    def put(self, key, value, *, collection=None, ttl=None):
        self._pass(lambda: self.key_value.put(key, value, collection=collection, ttl=ttl))

    def delete(self, key, *, collection=None):
        return self._pass(lambda: self.key_value.delete(key, collection=collection))


class Lagging(BaseWrapper):
    """A second store that takes its turns, too, and now and then fails."""

    def __init__(self, key_value, chance, failing=0.1):
        self.key_value, self.chance, self.failing = key_value, chance, failing

    async def _pass(self, made):
        for _ in range(self.chance.choice((0, 0, 1, 2, 9))):
            await asyncio.sleep(0)
        if self.chance.random() < self.failing:
            raise StoreConnectionError("down")
        found = await made()
        for _ in range(self.chance.choice((0, 0, 1, 2, 9))):
            await asyncio.sleep(0)
        return found

    async def get(self, key, *, collection=None):
        return await self._pass(lambda: self.key_value.get(key, collection=collection))

    async def put(self, key, value, *, collection=None, ttl=None):
        await self._pass(lambda: self.key_value.put(key, value, collection=collection, ttl=ttl))

    async def delete(self, key, *, collection=None):
        return await self._pass(lambda: self.key_value.delete(key, collection=collection))


class Naive(BaseWrapper):
    """The fallback that anybody would write: the positive control."""

    def __init__(self, primary, fallback):
        self.key_value, self.fallback = primary, fallback

    async def get(self, key, *, collection=None):
        try:
            return await self.key_value.get(key, collection=collection)
        except (StoreConnectionError, StoreTimeoutError):
            return await self.fallback.get(key, collection=collection)

    async def put(self, key, value, *, collection=None, ttl=None):
        with contextlib.suppress(StoreConnectionError, StoreTimeoutError):
            await self.key_value.put(key, value, collection=collection, ttl=ttl)
        await self.fallback.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key, *, collection=None):
        with contextlib.suppress(StoreConnectionError, StoreTimeoutError):
            await self.key_value.delete(key, collection=collection)
        return await self.fallback.delete(key, collection=collection)


class NaiveCache(BaseWrapper):
    """A cache that anybody would write: loads put what they read, writes delete; the positive control."""

    def __init__(self, store, cache):
        self.key_value, self.cache = store, cache

    async def get(self, key, *, collection=None):
        found = await self.cache.get(key, collection=collection)
        if found is None:
            found = await self.key_value.get(key, collection=collection)
            if found is not None:
                await self.cache.put(key, found, collection=collection)
        return found

    async def put(self, key, value, *, collection=None, ttl=None):
        await self.key_value.put(key, value, collection=collection, ttl=ttl)
        await self.cache.delete(key, collection=collection)

    async def delete(self, key, *, collection=None):
        deleted = await self.key_value.delete(key, collection=collection)
        await self.cache.delete(key, collection=collection)
        return deleted


def choice(chance, numbers, workers):
    """Return what to do next: a key, and what to write, None to delete or "read"."""
    key = f"key {chance.randrange(2 + workers // 2)}"
    action = chance.random()
    return key, "read" if action < 0.6 else None if action < 0.7 else next(numbers)


async def tasks(store, seed, operations, workers):
    """Let many tasks read and write a few keys, some of them cancelled, and return the history."""
    history, numbers = History(), count(1)

    async def work(chance):
        for _ in range(operations // workers):
            key, value = choice(chance, numbers, workers)
            began = history.now()
            if value == "read":
                try:
                    found = await store.get(key)
                except BaseKeyValueError:
                    continue
                history.read(key, "nothing" if found is None else found["n"], began)
                continue
            written = "nothing" if value is None else value
            call = asyncio.ensure_future(store.delete(key) if value is None else store.put(key, {"n": value}))
            if chance.random() < 0.02:
                asyncio.get_running_loop().call_soon(call.cancel)
            try:
                await call
            except (BaseKeyValueError, asyncio.CancelledError) as error:
                if getattr(error, "outcome", "unknown") == "unknown":
                    history.write(key, written, began, acknowledged=False)
            else:
                history.write(key, written, began)

    await asyncio.gather(*[work(random.Random(seed + number)) for number in range(workers)])
    return history


def threads(store, seed, operations, workers):
    """The same with threads."""
    history, numbers = History(), count(1)

    def work(number):
        chance = random.Random(seed + number)
        for _ in range(operations // workers):
            key, value = choice(chance, numbers, workers)
            began = history.now()
            try:
                if value == "read":
                    found = store.get(key)
                    history.read(key, "nothing" if found is None else found["n"], began)
                    continue
                if value is None:
                    store.delete(key)
                else:
                    store.put(key, {"n": value})
            except BaseKeyValueError as error:
                if value != "read" and error.outcome == "unknown":
                    history.write(key, "nothing" if value is None else value, began, acknowledged=False)
            else:
                history.write(key, "nothing" if value is None else value, began)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return history


@pytest.fixture
def switching():
    """Let threads take turns as often as they can."""
    import sys

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.faults(75)
@pytest.mark.parametrize("workers", [1, 4, 20])
@pytest.mark.parametrize("both", [False, True], ids=["writes fail", "writes to the fallback"])
async def test_tasks_over_a_flapping_primary(workers, both):
    """Whatever comes and goes, no read is older than the last write acknowledged before it began."""
    trouble = Trouble(1)
    primary = Flapping(MemoryStore(), trouble)
    options = {"write_to_fallback": True, "on_miss": "miss"} if both else {}
    # What only the fallback has is lost when it or an overlap drops it: that is said, and shows as a miss.
    fallback = Lagging(MemoryStore(), trouble.chance, 0 if both else 0.1)
    store = FallbackWrapper(primary, fallback, **options)

    history = await tasks(store, 1, 100_000 // SHARE, workers)

    assert len(history.reads) > 15_000 // SHARE
    found = [one for one in history.too_old() if not (both and one[1] == "nothing")]
    assert not found
    assert not store._overlaps._keys


@pytest.mark.faults(75)
@pytest.mark.parametrize("workers", [1, 4, 20])
async def test_a_naive_fallback_is_found_out(workers):
    """The same test sees what a fallback without these rules answers."""
    trouble = Trouble(1)
    store = Naive(Flapping(MemoryStore(), trouble), Lagging(MemoryStore(), trouble.chance, 0))

    assert (await tasks(store, 1, 5000, workers)).too_old()


@pytest.mark.faults(75)
@pytest.mark.usefixtures("switching")
def test_threads_over_a_flapping_primary():
    """The same on the other side, with threads."""
    store = SyncFallbackWrapper(SyncFlapping(SyncMemoryStore(), Trouble(2)), SyncMemoryStore())

    history = threads(store, 2, 100_000 // SHARE, 8)

    assert len(history.reads) > 15_000 // SHARE
    assert not history.too_old()
    assert not store._overlaps._keys


@pytest.mark.faults(84)
async def test_tasks_over_a_cache():
    """No read through a cache is older than the last write acknowledged before it began."""
    chance = random.Random(3)
    store = PassthroughCacheWrapper(Lagging(MemoryStore(), chance, 0), Lagging(MemoryStore(), chance))

    history = await tasks(store, 3, 100_000 // SHARE, 20)

    assert len(history.reads) > 15_000 // SHARE
    assert not history.too_old()
    assert not store._overlaps._keys
    assert not store._flights._flights


@pytest.mark.faults(84)
async def test_a_naive_cache_is_found_out():
    """The same test sees what a cache without these rules answers."""
    chance = random.Random(3)
    store = NaiveCache(Lagging(MemoryStore(), chance, 0), Lagging(MemoryStore(), chance, 0))

    assert (await tasks(store, 3, 5000, 20)).too_old()


@pytest.mark.faults(84)
@pytest.mark.usefixtures("switching")
def test_threads_over_a_cache():
    """The same on the other side, with threads."""
    store = SyncPassthroughCacheWrapper(SyncMemoryStore(), SyncMemoryStore())

    history = threads(store, 4, 100_000 // SHARE, 8)

    assert len(history.reads) > 15_000 // SHARE
    assert not history.too_old()
    assert not store._overlaps._keys
    assert not store._flights._flights


@pytest.fixture(params=["memory", "disk", "redis"])
async def slow(request, tmp_path):
    """A store of each kind, for which there is a cache."""
    if request.param == "redis":
        url = urlsplit(request.getfixturevalue("redis_server").url)._replace(path="/6").geturl()
        store = RedisStore(url=url)
        await store.destroy()
    else:
        store = DiskStore(directory=tmp_path / "kv") if request.param == "disk" else MemoryStore()
    yield store
    await store.destroy()
    await store.close()


@pytest.mark.faults(85)
async def test_many_misses_at_once_are_one_load(slow):
    """500 tasks that miss one key make one read of the store; so do those that miss it when it has gone."""
    primary = Counting(slow)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    await primary.key_value.put("key", {"list": [1]})

    found = await asyncio.gather(*[store.get("key") for _ in range(500)])
    assert found == [{"list": [1]}] * 500
    assert len({id(one["list"]) for one in found}) == 500
    assert primary.loads == 1
    assert await asyncio.gather(*[store.get("none") for _ in range(500)]) == [None] * 500
    assert primary.loads == 2


class Counting(BaseWrapper):
    loads = 0

    def __init__(self, key_value):
        self.key_value = key_value

    async def ttl_many(self, keys, *, collection=None):
        self.loads += 1
        await asyncio.sleep(0)
        return await self.key_value.ttl_many(keys, collection=collection)


@pytest.mark.faults(85)
def test_many_misses_in_threads_are_one_load():
    """The same with threads, which all ask before the answer comes."""
    asked = threading.Semaphore(0)
    loads = []

    class Waiting(SyncBaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def ttl_many(self, keys, *, collection=None):
            loads.append(keys)
            for _ in range(50):
                assert asked.acquire(timeout=10)
            return self.key_value.ttl_many(keys, collection=collection)

    class Asked(SyncBaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def get(self, key, *, collection=None):
            found = self.key_value.get(key, collection=collection)
            asked.release()
            return found

    primary = SyncMemoryStore()
    primary.put("key", {"n": 1})
    store = SyncPassthroughCacheWrapper(Waiting(primary), Asked(SyncMemoryStore()))
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(store.get, ["key"] * 50)) == [{"n": 1}] * 50
    # Who had asked the cache but not yet joined when the load landed may have made another.
    assert len(loads) <= 2


def test_the_history_tells_what_is_too_old():
    """A read may answer with the last write acknowledged before it, or with one that had not ended when that began."""
    history = History()
    history.writes["a"] = [(1, 1, 2, True), (2, 3, 5, True), (3, 4, 8, True), (4, 3, 6, False), (5, 20, 30, True)]
    for value, began, ended in ((2, 6, 7), (3, 6, 7), (4, 6, 7), (2, 9, 10), (4, 9, 10), (1, 3, 4), (5, 9, 21)):
        history.reads.append(("a", value, began, ended))
    assert not history.too_old()

    history.reads = [("a", 1, 6, 7), ("a", "nothing", 6, 7), ("a", 4, 31, 32), ("a", 5, 9, 10), ("a", "never", 1, 2)]
    assert [read[:2] for read in history.too_old()] == [read[:2] for read in history.reads]


def test_threads_are_counted_exactly():
    """However threads come and go, in the end nobody is inside."""
    overlaps = Overlaps()

    def work(number):
        for _ in range(2000 // SHARE):
            overlaps.enter([A, B], writing=bool(number % 2))
            assert not (number % 2 and overlaps.trusted(A))
            purge = overlaps.leave([A, B], writing=bool(number % 2))
            overlaps.purged(purge, writing=bool(number % 2), removed=True)

    running = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for one in running:
        one.start()
    for one in running:
        one.join(30)
    assert not overlaps._keys
    assert overlaps.trusted(A)
