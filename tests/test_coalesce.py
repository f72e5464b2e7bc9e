"""What many tasks ask at once leaves together: order, errors, cancellation, deadlines, loops, forks, the end."""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from forks import Child
from redis import Redis as Raw

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.aio.wrappers.coalesce import CoalesceWrapper
from kv_core.aio.wrappers.fallback import FallbackWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.deadline import DEADLINE
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    CorruptEntryError,
    InvalidKeyError,
    InvalidTTLError,
    PartialFailureError,
    SerializationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.sync.stores.memory import MemoryStore as SyncMemoryStore
from kv_core.sync.wrappers.coalesce import CoalesceWrapper as SyncCoalesceWrapper

FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
TENANT = ContextVar("tenant", default="nobody")


class Slow(BaseWrapper):
    """A store whose calls end when the test says so; it notes them, and knows how many are out."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.calls = []
        self.out = {"get": 0, "put": 0}
        self.most = {"get": 0, "put": 0}
        self.going = asyncio.Event()
        self.fails = {}

    async def _slowly(self, kind, name, keys, made):
        self.calls.append((name, *keys))
        self.out[kind] += 1
        self.most[kind] = max(self.most[kind], self.out[kind])
        try:
            await self.going.wait()
            await asyncio.sleep(0)
            for key in keys:
                if (name, key) in self.fails:
                    raise self.fails[name, key]
            return await made
        finally:
            made.close()
            self.out[kind] -= 1

    async def get(self, key, *, collection=None):
        return await self._slowly("get", "get", [key], self.key_value.get(key, collection=collection))

    async def get_many(self, keys, *, collection=None):
        return await self._slowly("get", "get_many", keys, self.key_value.get_many(keys, collection=collection))

    async def put(self, key, value, *, collection=None, ttl=None):
        await self._slowly("put", "put", [key], self.key_value.put(key, value, collection=collection, ttl=ttl))

    async def put_many(self, keys, values, *, collection=None, ttl=None):
        made = self.key_value.put_many(keys, values, collection=collection, ttl=ttl)
        await self._slowly("put", "put_many", keys, made)


@pytest.fixture
async def slow():
    return Slow(MemoryStore())


@pytest.fixture
def store(slow):
    return CoalesceWrapper(slow)


async def turns(number=10):
    """Let what is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


def ask(*calls):
    """Begin calls, in this order."""
    return [asyncio.create_task(call) for call in calls]


def keys(number):
    return [f"key {one}" for one in range(number)]


# Together -------------------------------------------------------------------------------------------------------------


async def test_reads_leave_together(slow, store):
    """The first goes straight, what comes meanwhile is one bulk, and what comes during that is the next."""
    await slow.key_value.put_many(keys(5), [{"n": one} for one in range(5)])
    first = ask(*[store.get(key) for key in ["key 0", "key 1", "key 2", "key 1", "none"]])
    await turns()
    second = ask(store.get("key 3"), store.get("key 4"), store.get("key 1", collection="other"))
    await turns()

    assert slow.calls == [("get", "key 0"), ("get_many", "key 1", "key 2", "none")]
    slow.going.set()
    assert await asyncio.gather(*first) == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 1}, None]
    assert await asyncio.gather(*second) == [{"n": 3}, {"n": 4}, None]
    assert slow.calls[2:] == [("get_many", "key 3", "key 4"), ("get", "key 1")]


async def test_writes_leave_together(slow, store):
    """The first goes straight, and what comes meanwhile is one bulk, with its ttls."""
    writes = ask(*[store.put(key, {"of": key}, ttl=60 if key == "key 2" else None) for key in keys(4)])
    await turns()
    assert slow.calls == [("put", "key 0")]
    slow.going.set()
    await asyncio.gather(*writes)

    assert slow.calls == [("put", "key 0"), ("put_many", "key 1", "key 2", "key 3")]
    assert await slow.key_value.get_many(keys(4)) == [{"of": key} for key in keys(4)]
    assert [ttl is not None for _, ttl in await slow.key_value.ttl_many(keys(4))] == [False, False, True, False]


async def test_bursts_leave_whole(slow, store):
    """After a bulk operation the first of the next turn waits for the others; after a lone call none does."""
    slow.going.set()
    for _ in range(2):
        await asyncio.gather(*[store.put(key, {}) for key in keys(3)])
        await asyncio.gather(*[store.get(key) for key in keys(3)])
    assert slow.calls[-2:] == [("put_many", *keys(3)), ("get_many", *keys(3))]

    for _ in range(2):
        await store.put("key 0", {})
        await store.get("key 0")
    lane = store._lanes.current()
    assert (lane.reads_come_together, lane.writes_come_together) == (False, False)
    assert slow.calls[-4:] == [("put", "key 0"), ("get", "key 0")] * 2


async def test_one_bulk_is_out_at_a_time(slow, store):
    """However many ask, at most one bulk write is out, and one bulk read beside the one that went straight."""
    chance = random.Random(5)
    slow.going.set()

    async def work():
        for _ in range(20):
            key = chance.choice(keys(30))
            if chance.random() < 0.5:
                await store.put(key, {"n": 1})
            else:
                await store.get(key)
            await asyncio.sleep(0)

    await asyncio.gather(*[work() for _ in range(50)])

    assert slow.most["put"] == 1
    assert slow.most["get"] <= 2
    assert len(slow.calls) < 500


@pytest.mark.parametrize("most", [1, 7, 1000])
async def test_batches_are_bounded(slow, most):
    """No bulk has more than max_batch entries, and all are answered."""
    store = CoalesceWrapper(slow, max_batch=most)
    writes = ask(*[store.put(key, {"of": key}) for key in keys(50)])
    await turns()
    slow.going.set()
    await asyncio.gather(*writes)
    assert await asyncio.gather(*[store.get(key) for key in keys(50)]) == [{"of": key} for key in keys(50)]

    assert max(len(call) - 1 for call in slow.calls) == min(most, 49)


@pytest.mark.faults(120)
@pytest.mark.parametrize("most", [0, -1, 1.5, True, "9"])
def test_max_batch_is_checked(most):
    """A max_batch that is not a whole number from 1 is refused at construction, on both sides."""
    with pytest.raises(ConfigurationError, match="max_batch"):
        CoalesceWrapper(MemoryStore(), max_batch=most)
    with pytest.raises(ConfigurationError, match="max_batch"):
        SyncCoalesceWrapper(SyncMemoryStore(), max_batch=most)


def test_the_sync_twin_passes_through():
    """On the other side it changes nothing."""
    store = SyncCoalesceWrapper(SyncMemoryStore())
    store.put("key", {"n": 1})
    assert store.get("key") == {"n": 1}
    assert store.max_batch == 1000


@pytest.mark.faults(41)
async def test_everybody_gets_a_value_of_their_own(slow, store):
    """Tasks that ask for one key at once may change what they get, and a task what it puts once put has begun."""
    await slow.key_value.put("key", {"list": [1], "bytes": b"x"})
    reads = ask(store.get("first"), *[store.get("key") for _ in range(3)])
    await turns()
    value = {"list": [1]}
    writes = ask(store.put("first", {}), store.put("put", value))
    await turns()
    value["list"].append("changed")
    slow.going.set()

    for found in (await asyncio.gather(*reads))[1:]:
        assert found == {"list": [1], "bytes": b"x"}
        found["list"].append(2)
    await asyncio.gather(*writes)
    assert await slow.key_value.get("put") == {"list": [1]}
    assert await slow.key_value.get("key") == {"list": [1], "bytes": b"x"}


async def test_what_a_wrapper_inside_makes_of_a_value(slow):
    """Values that only a wrapper inside can keep pass, alone and together; each caller gets a copy."""

    class Sets(BaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        async def get(self, key, *, collection=None):
            found = await self.key_value.get(key, collection=collection)
            return None if found is None else {"set": set(found["set"])}

        async def put(self, key, value, *, collection=None, ttl=None):
            await self.key_value.put(key, {"set": sorted(value["set"])}, collection=collection, ttl=ttl)

    store = CoalesceWrapper(Sets(slow))
    writes = ask(*[store.put(key, {"set": {1, 2}}) for key in keys(3)])
    await turns()
    slow.going.set()
    await asyncio.gather(*writes)
    found = await asyncio.gather(*[store.get(key) for key in [*keys(3), "key 2", "key 2"]])

    assert found == [{"set": {1, 2}}] * 5
    assert len({id(one["set"]) for one in found}) == 5


# Order ----------------------------------------------------------------------------------------------------------------


async def test_writes_of_a_key_keep_their_order(slow, store):
    """The last put that arrived is what stays, though it leaves with others of the key."""
    writes = ask(*[store.put("key", {"n": number}) for number in range(5)], store.put("other", {}))
    await turns()
    slow.going.set()
    await asyncio.gather(*writes)

    assert slow.calls[1:] == [("put_many", "key", "key", "key", "key", "other")]
    assert await slow.key_value.get("key") == {"n": 4}


OTHERS = {
    "get": (lambda store: store.get("key"), {"n": 2}),
    "get_many": (lambda store: store.get_many(["none", "key"]), [None, {"n": 2}]),
    "ttl": (lambda store: store.ttl("key"), ({"n": 2}, None)),
    "ttl_many": (lambda store: store.ttl_many(["key"]), [({"n": 2}, None)]),
    "delete": (lambda store: store.delete("key"), True),
    "delete_many": (lambda store: store.delete_many(["key", "none"]), 1),
    "put_if_present": (lambda store: store.put_if_present("key", {}), True),
    "put_if_absent": (lambda store: store.put_if_absent("key", {}), False),
    "touch": (lambda store: store.touch("key", ttl=5), True),
    "keys": (lambda store: store.keys(), ["key", "first"]),
    "collections": (lambda store: store.collections(), ["default_collection"]),
    "destroy": (lambda store: store.destroy(), True),
    "destroy_collection": (lambda store: store.destroy_collection("default_collection"), True),
    "put_many": (lambda store: store.put_many(["key"], [{}]), None),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_is_about_a_key_waits_for_its_write(slow, store, name):
    """Every operation sees the write of its key that was on its way when it came, straight or waiting."""
    call, answer = OTHERS[name]

    for operation in ("put_if_absent", "put_if_present"):  # which its put withdraws
        setattr(slow, operation, getattr(slow.key_value, operation))
    await slow.key_value.put("key", {"n": 0})
    writes = ask(store.put("first", {}), store.put("key", {"n": 1}), store.put("key", {"n": 2}))
    await turns()
    asked = asyncio.create_task(call(store))
    await turns()
    assert not asked.done()
    assert await slow.key_value.get("key") == {"n": 0}
    slow.going.set()

    assert await asked == answer
    assert all(write.done() for write in writes)


async def test_iterating_waits_for_writes(slow, store):
    """An iteration that begins sees what was on its way."""
    writes = ask(store.put("a", {}), store.put("b", {}))
    await turns()
    slow.going.set()

    assert sorted([key async for key in store.iter_keys()]) == ["a", "b"]
    await asyncio.gather(*writes)


async def test_reads_of_other_keys_do_not_wait(slow, store):
    """A read waits for the write of its own key alone."""
    await slow.key_value.put("other", {"n": 1})
    writes = ask(store.put("a", {}), store.put("b", {}))
    await turns()
    other = asyncio.create_task(store.get("other"))
    await turns()

    assert slow.calls == [("put", "a"), ("get", "other")]
    slow.going.set()
    assert await other == {"n": 1}
    await asyncio.gather(*writes)


async def test_a_register_under_many_tasks(slow, store):
    """Each task reads what it wrote last to keys of its own, and never anything else."""
    slow.going.set()
    chance = random.Random(9)

    async def work(name):
        mine = {}
        for number in range(60):
            key = f"{name} {chance.randrange(3)}"
            match chance.randrange(4):
                case 0:
                    await store.put(key, {"n": number})
                    mine[key] = {"n": number}
                case 1:
                    assert await store.delete(key) == (mine.pop(key, None) is not None)
                case 2:
                    assert await store.get(key) == mine.get(key)
                case _:
                    assert await store.get_many([key]) == [mine.get(key)]

    await asyncio.gather(*[work(f"task {number}") for number in range(40)])


# Errors ---------------------------------------------------------------------------------------------------------------


async def test_a_value_that_cannot_be_kept_fails_its_own_put(slow, store):
    """One SerializationError among 50 puts is one caller's, and names its key."""
    values = [{"n": number} for number in range(50)]
    values[20] = {"n": {1, 2}}
    writes = ask(*[store.put(key, value) for key, value in zip(keys(50), values, strict=True)])
    await turns()
    slow.going.set()
    found = await asyncio.gather(*writes, return_exceptions=True)

    assert isinstance(found[20], SerializationError)
    assert found[20].key == "key 20"
    assert found[:20] + found[21:] == [None] * 49
    stored = await slow.key_value.get_many(keys(50))
    assert stored == [None if number == 20 else {"n": number} for number in range(50)]


async def test_a_corrupt_entry_fails_its_own_get(redis_server):
    """One CorruptEntryError among 50 gets is one caller's, or everybody's who asked for that key."""
    async with CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="corrupt")) as store:
        await store.put_many(keys(50), [{"n": number} for number in range(50)])
        with Raw.from_url(redis_server.url) as raw:
            raw.set("corrupt::key 20", b"{not an entry")
        found = await asyncio.gather(*[store.get(key) for key in [*keys(50), "key 20"]], return_exceptions=True)

        assert [type(found[20]), type(found[50])] == [CorruptEntryError] * 2
        assert found[20] is not found[50]
        assert found[20].key == "key 20"
        assert found[:20] + found[21:50] == [{"n": number} for number in range(50) if number != 20]
        await store.delete_many(keys(50))


async def test_errors_without_a_name_reach_their_callers_too(slow, store):
    """What a user's wrapper raises, or answers too little, leaves nobody waiting."""
    await slow.key_value.put_many(keys(4), [{}] * 4)
    slow.fails = {("get", "key 1"): LookupError("mine"), ("get_many", "key 1"): LookupError("mine")}
    slow.going.set()
    found = await asyncio.gather(*[store.get(key) for key in keys(4)], return_exceptions=True)
    assert [type(one) for one in found] == [dict, LookupError, dict, dict]

    async def too_little(keys, *, collection=None):
        return [{}]

    slow.get_many = too_little
    slow.fails = {}
    assert await asyncio.gather(*[store.get(key) for key in keys(4)]) == [{}] * 4

    class AwkwardError(Exception):
        def __init__(self, one, two):
            super().__init__("awkward")

    slow.fails = {("get", "key 1"): AwkwardError(1, 2)}
    found = await asyncio.gather(*[store.get(key) for key in [*keys(3), "key 1"]], return_exceptions=True)
    assert [type(one) for one in found] == [dict, AwkwardError, dict, AwkwardError]


async def test_a_fallback_inside_answers_each_for_itself():
    """While the primary is down, one key without a copy does not cost the others theirs."""

    class Down(BaseWrapper):
        is_down = False

        def __init__(self, key_value):
            self.key_value = key_value

        async def get(self, key, *, collection=None):
            if self.is_down:
                raise StoreConnectionError("down")
            return await self.key_value.get(key, collection=collection)

    primary = Down(MemoryStore())
    store = CoalesceWrapper(FallbackWrapper(primary, MemoryStore()))
    await store.put_many(keys(10), [{}] * 10)
    await primary.key_value.put("no copy", {})
    primary.is_down = True
    found = await asyncio.gather(*[store.get(key) for key in [*keys(10), "no copy"]], return_exceptions=True)

    assert found[:10] == [{}] * 10
    assert isinstance(found[10], StoreConnectionError)


async def test_a_bulk_that_may_have_happened_stays_unknown(slow, store):
    """A put that surely failed alone may have been applied with the bulk before: its outcome is unknown."""
    slow.fails = {
        ("put_many", "key 1"): StoreTimeoutError("late", outcome="unknown"),
        ("put", "key 2"): StoreConnectionError("down"),
    }
    writes = ask(*[store.put(key, {}) for key in keys(4)])
    await turns()
    slow.going.set()
    found = await asyncio.gather(*writes, return_exceptions=True)

    assert found[:2] + found[3:] == [None] * 3
    assert found[2].outcome == "unknown"

    slow.fails[("put_many", "key 1")] = StoreConnectionError("down")
    slow.fails[("put", "key 2")] = StoreConnectionError("down")
    found = await asyncio.gather(*[store.put(key, {}) for key in keys(4)], return_exceptions=True)
    assert found[2].outcome == "not_applied"


@pytest.mark.faults(87)
async def test_what_a_bulk_did_is_not_done_again(slow, store):
    """A PartialFailureError tells which keys were written: only the others are asked alone."""

    async def put_many(keys, values, *, collection=None, ttl=None):
        raise PartialFailureError("some failed", failed={"key 2": StoreConnectionError("down")}, succeeded=["key 1"])

    slow.put_many = put_many
    writes = ask(*[store.put(key, {}) for key in keys(3)])
    await turns()
    slow.going.set()
    await asyncio.gather(*writes)

    assert slow.calls == [("put", "key 0"), ("put", "key 2")]


async def test_a_store_that_is_gone_is_asked_once_for_each_key(slow, store):
    """Many puts of one key are not tried one after the other when the store does not answer."""
    slow.fails = {(name, "key"): StoreTimeoutError("late", outcome="unknown") for name in ("put", "put_many")}
    writes = ask(*[store.put("key", {"n": number}) for number in range(50)])
    await turns()
    slow.going.set()
    found = await asyncio.gather(*writes, return_exceptions=True)

    assert [type(one) for one in found] == [StoreTimeoutError] * 50
    assert len({id(one) for one in found[1:]}) == 49
    assert [call[0] for call in slow.calls] == ["put", "put_many", "put"]


async def test_arguments_are_checked_before_they_wait(slow, store):
    """A bad key or ttl is refused at once, and disturbs no batch."""
    writes = ask(store.put("first", {}), store.put("second", {}))
    await turns()

    with pytest.raises(InvalidKeyError):
        await store.get(5)
    with pytest.raises(InvalidKeyError):
        await store.put(None, {})
    with pytest.raises(InvalidKeyError):
        await store.get("key", collection="")
    with pytest.raises(InvalidTTLError):
        await store.put("key", {}, ttl=0)
    slow.going.set()
    await asyncio.gather(*writes)


# Cancellation and deadlines -------------------------------------------------------------------------------------------


@pytest.mark.faults(128)
async def test_a_caller_that_is_cancelled_disturbs_no_other(slow, store):
    """Straight, waiting or out: the others get their answers, and the lane goes on."""
    await slow.key_value.put_many(keys(6), [{"of": key} for key in keys(6)])
    reads = ask(*[store.get(key) for key in keys(4)], store.get("key 3"))
    await turns()
    waiting = ask(store.get("key 4"), store.get("key 5"))
    await turns()
    for task in (reads[0], reads[1], reads[3], waiting[0]):
        task.cancel()
    await turns()
    slow.going.set()

    found = await asyncio.gather(*reads, *waiting, return_exceptions=True)
    assert [type(one) for one in found] == [
        *(asyncio.CancelledError, asyncio.CancelledError, dict, asyncio.CancelledError, dict),
        *(asyncio.CancelledError, dict),
    ]
    assert slow.calls[2:] == [("get", "key 5")]
    assert await store.get("key 0") == {"of": "key 0"}


@pytest.mark.faults(128)
async def test_a_write_whose_caller_is_cancelled(slow, store):
    """Before it leaves it is not made; once it is out it may happen, and what is about its key still waits for it."""
    writes = ask(*[store.put(key, {}) for key in ["straight", "dropped", "out", "stays"]])
    await turns()
    writes[1].cancel()
    await turns()
    slow.going.set()
    await asyncio.gather(*writes, return_exceptions=True)
    assert slow.calls == [("put", "straight"), ("put_many", "out", "stays")]
    assert await slow.key_value.get("dropped") is None

    await store.put("alone", {})
    slow.going.clear()
    straight, out = ask(store.put("straight", {"n": 1}), store.put("out", {"n": 1}))
    await turns()
    straight.cancel()
    await turns()
    assert slow.calls[-1] == ("put", "out")
    out.cancel()
    deleting = asyncio.create_task(store.delete("out"))
    await turns()
    assert out.cancelled()
    assert not deleting.done()
    slow.going.set()
    assert await deleting is True
    assert await store.get("out") is None
    assert await store.get("straight") == {}


@pytest.mark.faults(128)
async def test_all_callers_cancelled_leave_an_idle_lane(slow, store):
    """When nobody waits any more nothing is sent, and the next call goes straight again."""
    calls = ask(*[store.get(key) for key in keys(3)], *[store.put(key, {}) for key in keys(3)])
    await turns(1)
    for call in calls:
        call.cancel()
    await turns()
    slow.going.set()
    await turns()
    slow.calls.clear()

    await store.put("key", {})
    assert await store.get("key") == {}
    assert slow.calls == [("put", "key"), ("get", "key")]
    lane = store._lanes.current()
    await turns()
    assert not any((lane.straight_read, lane.straight_write, lane.reading, lane.writing, lane.writes, lane._tasks))


@pytest.mark.faults(128)
async def test_a_cancelled_batch_cancels_its_callers_and_goes_on(slow, store):
    """If something cancels every task it finds, nobody waits for ever, and who was not in the batch is served."""
    reads = ask(*[store.get(key) for key in keys(3)])
    writes = ask(*[store.put(key, {}) for key in keys(3)])
    await turns()
    writes[0].cancel()
    await turns()
    later = ask(store.get("nothing"), store.put("later", {}))
    await turns()
    for batch in list(store._lanes.current()._tasks):
        batch.cancel()
    await turns()
    slow.going.set()

    found = await asyncio.gather(*reads, *writes, return_exceptions=True)
    assert [type(one) for one in found[1:3] + found[4:]] == [asyncio.CancelledError] * 4
    assert await asyncio.gather(*later) == [None, None]
    assert await store.get("later") == {}


async def test_a_deadline_is_one_callers_own(slow, store):
    """A caller whose time is up gets its StoreTimeoutError; those who left with it get their answers."""
    await slow.key_value.put_many(keys(4), [{}] * 4)
    seen = []
    get_many = slow.get_many

    async def noting(*arguments, **options):
        seen.append(DEADLINE.get())
        return await get_many(*arguments, **options)

    slow.get_many = noting
    hasty = TimeoutWrapper(store, 0.02)
    reads = ask(store.get("key 0"), hasty.get("key 1"), store.get("key 2"), TimeoutWrapper(store, 30).get("key 3"))
    with pytest.raises(StoreTimeoutError):
        await reads[1]
    slow.going.set()

    assert await reads[0] == await reads[2] == await reads[3] == {}
    assert seen == [None]


async def test_a_batch_has_no_callers_context(slow, store):
    """Which of the callers' context variables a batch would have cannot be told, so it has none."""
    seen = []
    get_many, get = slow.get_many, slow.get

    async def noting(keys, *, collection=None):
        seen.append(TENANT.get())
        return await get_many(keys, collection=collection)

    async def noting_one(key, *, collection=None):
        seen.append(TENANT.get())
        return await get(key, collection=collection)

    slow.get_many, slow.get = noting, noting_one
    TENANT.set("somebody")
    slow.going.set()
    await asyncio.gather(*[store.get(key) for key in keys(3)])

    assert seen == ["somebody", "nobody"]


@pytest.mark.faults(125, 126)
async def test_cancelled_at_random_on_redis(redis_server):
    """After calls were cancelled at random moments, every read gets the answer to its own question."""
    chance = random.Random(13)
    names = keys(20)
    async with CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="coalesced")) as store:
        await store.put_many(names, [{"of": name} for name in names])
        for _ in range(60):
            calls = ask(*[store.get(name) for name in names], *[store.put(name, {"of": name}) for name in names])
            for call in calls:
                if chance.random() < 0.5:
                    asyncio.get_running_loop().call_later(chance.random() * 0.003, call.cancel)
            found = await asyncio.gather(*calls, return_exceptions=True)
            for name, one in zip(names, found[:20], strict=True):
                assert one == {"of": name} or isinstance(one, asyncio.CancelledError), repr(one)
            assert all(one is None or isinstance(one, asyncio.CancelledError) for one in found[20:])
            assert await asyncio.gather(*[store.get(name) for name in names]) == [{"of": name} for name in names]
        await store.delete_many(names)


# Loops, forks, the end ------------------------------------------------------------------------------------------------


@pytest.mark.faults(130)
def test_several_loops(redis_server):
    """One wrapper serves loops in turn and at once, each with a lane of its own."""
    store = CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="loops"))

    async def use(name):
        for number in range(5):
            mine = [f"{name} {one}" for one in range(20)]
            await asyncio.gather(*[store.put(key, {"of": key, "n": number}) for key in mine])
            found = await asyncio.gather(*[store.get(key) for key in mine])
            assert found == [{"of": key, "n": number} for key in mine]
        await store.delete_many(mine)

    asyncio.run(use("first"))
    asyncio.run(use("second"))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: asyncio.run(use(f"thread {number}")), range(4)))
    asyncio.run(store.close())


@FORKING
@pytest.mark.faults(132)
def test_a_child_has_lanes_of_its_own(redis_server):
    """After a fork, in the middle of calls, the child's calls leave at once, and the parent's end as they should."""
    store = CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="forked"))

    async def use(name):
        mine = [f"{name} {one}" for one in range(20)]
        await asyncio.gather(*[store.put(key, {"of": key}) for key in mine])
        assert await asyncio.gather(*[store.get(key) for key in mine]) == [{"of": key} for key in mine]
        await store.delete_many(mine)

    async def run():
        await use("parent")
        calls = ask(*[store.put(key, {"of": key}) for key in keys(10)], *[store.get("none") for _ in range(10)])
        await asyncio.sleep(0)
        child = Child(lambda: asyncio.run(use("child")))
        assert await asyncio.gather(*calls) == [None] * 20
        child.check()
        await use("parent")
        await store.delete_many(keys(10))
        await store.close()

    asyncio.run(run())


@pytest.mark.faults(134)
async def test_closing_with_calls_under_way(redis_server):
    """Each call ends with its answer or a named error; then nothing is left, and calls are refused."""
    store = CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="closing"))
    await store.put("key", {"n": 1})
    calls = ask(*[store.get("key") for _ in range(50)], *[store.put("key", {"n": 1}) for _ in range(50)])
    await asyncio.sleep(0)
    await store.close()

    async with asyncio.timeout(5):
        found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        assert one in (None, {"n": 1}) or isinstance(one, BaseKeyValueError), repr(one)
    for call in (store.get("key"), store.put("key", {}), store.delete("key")):
        with pytest.raises(StoreClosedError):
            await call
    await store.close()
    assert len(asyncio.all_tasks()) == 1


async def test_closing_waits_for_a_batch_that_is_out(slow, store):
    """A batch that is out when the wrapper is closed is answered before the store is closed."""
    reads = ask(*[store.get(key) for key in keys(3)])
    await turns()
    closing = asyncio.create_task(store.close())
    await turns()
    assert not closing.done()
    slow.going.set()
    await closing

    assert await asyncio.gather(*reads) == [None] * 3


def test_a_loop_that_ends_with_calls_under_way(redis_server, caplog):
    """Calls that nobody waits for when their loop ends leave no task, no warning and no complaint behind."""
    store = CoalesceWrapper(RedisStore(url=redis_server.url, default_collection="ending"))
    held = []

    async def run():
        held.extend(ask(*[store.get(key) for key in keys(20)], *[store.put(key, {}) for key in keys(20)]))
        await asyncio.sleep(0)

    asyncio.run(run())
    assert all(call.cancelled() for call in held)
    assert not caplog.records

    async def end():
        await store.delete_many(keys(20))
        await store.close()

    asyncio.run(end())


async def test_nothing_is_kept_of_what_is_over(slow, store):
    """After many calls a lane holds nothing."""
    slow.going.set()
    for _ in range(20):
        await asyncio.gather(*[store.put(key, {}) for key in keys(30)], *[store.get(key) for key in keys(30)])
    await turns()
    lane = store._lanes.current()

    assert not any((lane.writes, lane._writes, lane._reads, lane._tasks))


def test_threads_without_a_loop_of_their_own(caplog):
    """A wrapper that was made in one thread serves the loop of another."""
    store = CoalesceWrapper(MemoryStore())
    found = []

    async def use():
        await asyncio.gather(*[store.put(key, {}) for key in keys(5)])
        found.extend(await asyncio.gather(*[store.get(key) for key in keys(5)]))

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join(5)
    assert found == [{}] * 5
