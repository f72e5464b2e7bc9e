"""A caller that is cancelled is cancelled, through every wrapper and stack, and what comes after works as before."""

import asyncio
import gc
import os
import random
from functools import partial

import pytest
from cryptography.fernet import Fernet
from network import EACH, NETWORK, SETS

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.aio.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.aio.wrappers.coalesce import CoalesceWrapper
from kv_core.aio.wrappers.compression import CompressionWrapper
from kv_core.aio.wrappers.default_value import DefaultValueWrapper
from kv_core.aio.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.aio.wrappers.fallback import FallbackWrapper
from kv_core.aio.wrappers.limit_size import LimitSizeWrapper
from kv_core.aio.wrappers.logging import LoggingWrapper
from kv_core.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.aio.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.aio.wrappers.read_only import ReadOnlyWrapper
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.aio.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.aio.wrappers.statistics import StatisticsWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.aio.wrappers.ttl_clamp import TTLClampWrapper
from kv_core.capabilities import OPERATIONS, capabilities
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20
FERNET = Fernet(Fernet.generate_key())


class Halting(BaseWrapper):
    """A store that lets others run before and after each call, as one on a network does."""

    def __init__(self, key_value, turns=2):
        self.key_value, self.turns = key_value, turns

    async def _slowly(self, made):
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            found = await made
        finally:
            made.close()
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return found


def slowly(name):
    """Return a method that makes an operation slowly."""

    async def method(self, *arguments, **options):
        return await self._slowly(getattr(self.key_value, name)(*arguments, **options))

    return method


for operation in OPERATIONS:
    if operation != "iter_keys":
        setattr(Halting, operation, slowly(operation))


def production(store):
    sealed = CompressionWrapper(FernetEncryptionWrapper(store, fernet=FERNET))
    return FallbackWrapper(RetryWrapper(TimeoutWrapper(sealed)), Halting(MemoryStore()))


STACKS = {
    "breaker": CircuitBreakerWrapper,
    "coalesce": CoalesceWrapper,
    "collection routing": lambda store: CollectionRoutingWrapper({"b": MemoryStore()}, store),
    "compression": CompressionWrapper,
    "default": lambda store: DefaultValueWrapper(store, {}),
    "fallback": lambda store: FallbackWrapper(store, Halting(MemoryStore())),
    "fallback, writing": lambda store: FallbackWrapper(store, Halting(MemoryStore()), write_to_fallback=True),
    "fernet": lambda store: FernetEncryptionWrapper(store, fernet=FERNET),
    "limit size": lambda store: LimitSizeWrapper(store, max_size=100_000),
    "logging": LoggingWrapper,
    "passthrough": lambda store: PassthroughCacheWrapper(store, Halting(MemoryStore())),
    "prefix collections": lambda store: PrefixCollectionsWrapper(store, "app"),
    "prefix keys": lambda store: PrefixKeysWrapper(store, "app"),
    "production": lambda store: StatisticsWrapper(production(store)),
    "production, coalesced": lambda store: StatisticsWrapper(CoalesceWrapper(production(store))),
    "read only": ReadOnlyWrapper,
    "retry": RetryWrapper,
    "routing": lambda store: RoutingWrapper(lambda collection: None, store),
    "single collection": lambda store: SingleCollectionWrapper(store, "all"),
    "statistics": StatisticsWrapper,
    "timeout": TimeoutWrapper,
    "timeout, interrupting": lambda store: TimeoutWrapper(store, interrupt=True),
    "ttl clamp": lambda store: TTLClampWrapper(store, min_ttl=1, max_ttl=100_000),
}
CALLS = {
    "get": lambda store: store.get("key"),
    "get_many": lambda store: store.get_many(["key", "none"]),
    "ttl": lambda store: store.ttl("key"),
    "ttl_many": lambda store: store.ttl_many(["key", "none"]),
    "put": lambda store: store.put("key", {"n": 1}),
    "put_many": lambda store: store.put_many(["key", "other"], [{"n": 1}] * 2),
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: store.delete_many(["key", "other"]),
    "put_if_absent": lambda store: store.put_if_absent("key", {"n": 1}),
    "put_if_present": lambda store: store.put_if_present("key", {"n": 1}),
    "get_with_revision": lambda store: store.get_with_revision("key"),
    "put_if_unchanged": lambda store: store.put_if_unchanged("key", {}, Revision("none")),
    "delete_if_unchanged": lambda store: store.delete_if_unchanged("key", Revision("none")),
    "touch": lambda store: store.touch("key", ttl=50),
    "increment": lambda store: store.increment("count", initial=0),
    "keys": lambda store: store.keys(),
    "collections": lambda store: store.collections(),
    "destroy_collection": lambda store: store.destroy_collection("b"),
    "destroy": lambda store: store.destroy(),
    "cull": lambda store: store.cull(),
    "ping": lambda store: store.ping(),
}


def test_the_list_of_calls_is_whole():
    """Every operation is cancelled here but for an iteration, which is many calls."""
    assert CALLS.keys() == OPERATIONS.keys() - {"iter_keys"}


async def turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.faults(74, 128)
@pytest.mark.parametrize("name", STACKS)
async def test_cancelled_at_every_point(name):
    """Wherever a call is when its task is cancelled: CancelledError comes out, and the next call works."""
    stack = STACKS[name](Halting(MemoryStore()))
    for call in sorted(CALLS.keys() & capabilities(stack)):
        for point in range(1, 60):
            if "put" in capabilities(stack):
                await stack.put("key", {"n": 1})
            task = asyncio.create_task(CALLS[call](stack))
            await turns(point)
            asked = task.cancel()
            await asyncio.wait([task])
            if not asked:
                assert not task.cancelled()
                task.result()
                break
            assert task.cancelled(), f"{call} went on after {point} turns: {task}"
        else:
            raise AssertionError(f"{call} never ends")
        if "put" in capabilities(stack):
            await stack.put("key", {"n": 2})
            assert await stack.get("key") == {"n": 2}
            assert await stack.delete("key") is True
            assert await stack.get("key") in (None, {})
    await turns(20)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.faults(128)
@pytest.mark.parametrize("name", sorted(STACKS.keys() - {"read only"}))
async def test_a_timeout_around_a_stack(name):
    """An asyncio.timeout of the caller's raises its own TimeoutError, never one of ours, and nothing is left behind."""
    chance = random.Random(128)
    loop = asyncio.get_running_loop()
    store = MemoryStore()
    stack = STACKS[name](Halting(store, 4))
    ended = {"in time": 0, "late": 0}
    names = sorted(CALLS.keys() & capabilities(stack) - {"put_if_unchanged", "delete_if_unchanged"})
    for _ in range(1000 // SHARE):
        call = CALLS[chance.choice(names)]
        try:
            async with asyncio.timeout(None) as limit:
                passing = loop.time() - 1 if chance.random() < 0.5 else loop.time() + 60
                hurry = loop.call_soon(limit.reschedule, passing)
                await call(stack)
            ended["in time"] += 1
        except TimeoutError as error:
            ended["late"] += type(error) is TimeoutError
        except BaseKeyValueError as error:
            raise AssertionError(f"a cancellation became {error!r}") from error
        finally:
            hurry.cancel()
        assert asyncio.current_task().cancelling() == 0
        await stack.put("key", {"n": 3})
        assert await stack.get("key") == {"n": 3}

    assert sum(ended.values()) == 1000 // SHARE
    assert min(ended.values()) > 100 // SHARE
    await turns(30)
    assert len(asyncio.all_tasks()) == 1


@pytest.fixture(params=[*EACH, *(SETS if SHARE == 1 else ())])
def make(request):
    """A function that makes a store with a server."""
    url = request.getfixturevalue(f"{request.param}_server").url
    yield partial((NETWORK | SETS)[request.param].make, "kv_core.aio", url)
    gc.collect()


@pytest.mark.faults(125)
async def test_cancelled_reads_leave_no_answer_behind(make):
    """After reads were cancelled at random moments, every read gets the answer to its own question."""
    chance = random.Random(125)
    loop = asyncio.get_running_loop()
    keys = [f"key {number}" for number in range(20)]
    cancelled = 0
    async with make(default_collection="cancelled reads") as store:
        await store.put_many(keys, [{"of": key} for key in keys])
        start = loop.time()
        await store.get(keys[0])
        reach = max(20 * (loop.time() - start), 0.003)
        while cancelled < 100_000 // SHARE:
            calls = [asyncio.create_task(store.get(key)) for key in keys]
            calls += [asyncio.create_task(store.get_many([key, "none"])) for key in keys[:5]]
            for call in calls:
                loop.call_later(chance.random() * reach, call.cancel)
            found = await asyncio.gather(*calls, return_exceptions=True)
            for key, one in zip([*keys, *keys[:5]], found, strict=True):
                if isinstance(one, asyncio.CancelledError):
                    cancelled += 1
                else:
                    assert one in ({"of": key}, [{"of": key}, None]), repr(one)
            if not any(isinstance(one, asyncio.CancelledError) for one in found):
                reach /= 2
            key = chance.choice(keys)
            assert await store.get(key) == {"of": key}
        assert await store.delete_many(keys) == 20


@pytest.mark.faults(126)
async def test_cancelled_writes_are_never_acknowledged_falsely(make):
    """A write that returned is there; one that was cancelled is there whole, or not at all, and disturbs no other."""
    chance = random.Random(126)
    loop = asyncio.get_running_loop()
    keys = [f"key {number}" for number in range(15)]
    possible = {key: [None] for key in keys}
    cancelled = turn = 0
    store = make(default_collection="cancelled writes")
    reach = 0.004
    while cancelled < 100_000 // SHARE:
        turn += 1
        if turn % 20 == 1:  # so that connecting is cancelled, too
            await store.close()
            store = make(default_collection="cancelled writes")
        value = {"turn": turn}
        writes = {
            **{key: store.put(key, value, ttl=chance.choice((None, 600))) for key in keys[:5]},
            **{key: store.put_many([key], [value], ttl=chance.choice((None, 600))) for key in keys[5:10]},
            **{key: store.delete(key) for key in keys[10:]},
        }
        calls = [asyncio.create_task(write) for write in writes.values()]
        for call in calls:
            loop.call_later(chance.random() * reach, call.cancel)
        done = await asyncio.gather(*calls, return_exceptions=True)
        for key, one in zip(keys, done, strict=True):
            after = None if key in keys[10:] else value
            if isinstance(one, asyncio.CancelledError):
                cancelled += 1
                possible[key].append(after)
            else:
                assert one is None or isinstance(one, bool), repr(one)
                possible[key] = [after]
        if not any(isinstance(one, asyncio.CancelledError) for one in done):
            reach /= 2
        if turn % 10 == 0:
            for key, found in zip(keys, await store.get_many(keys), strict=True):
                assert found in possible[key], key
            await store.put_many(keys[10:], [{"n": turn}] * 5)
            possible.update({key: [{"n": turn}] for key in keys[10:]})
    await store.delete_many(keys)
    await store.close()


@pytest.mark.faults(125, 126, 128)
@pytest.mark.parametrize("name", ["production", "production, coalesced", "passthrough", "fallback, writing"])
async def test_cancelled_at_random_on_redis(name, redis_server):
    """On a real server, too: no wrong value, no miss of what is there, no error without a name."""
    chance = random.Random(7)
    loop = asyncio.get_running_loop()
    stack = STACKS[name](RedisStore(url=redis_server.url, default_collection=f"cancelled {name}"))
    keys = [f"key {number}" for number in range(10)]
    await stack.put_many(keys, [{"of": key} for key in keys])
    for _ in range(2000 // SHARE // 2):
        calls = [asyncio.create_task(stack.get(key)) for key in keys]
        calls += [asyncio.create_task(stack.put(key, {"of": key})) for key in keys]
        for call in chance.sample(calls, 12):
            loop.call_later(chance.random() * 0.006, call.cancel)
        found = await asyncio.gather(*calls, return_exceptions=True)
        for key, one in zip(keys, found[:10], strict=True):
            assert one == {"of": key} or isinstance(one, asyncio.CancelledError), repr(one)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in found[10:])
        assert await stack.get_many(keys) == [{"of": key} for key in keys]
    await stack.delete_many(keys)
    await stack.close()
